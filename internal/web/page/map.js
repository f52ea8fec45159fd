import {printable, setText, svg} from './dom.js';
import {rate, word} from './words.js';

// maxDrawn bounds how many links are drawn: the table has all.
const maxDrawn = 24;

const width = 760;
const plain = 130; // the height with one or two links, which are beside this bus
const tall = 340;

let drawn = '';
let labels = [];

// draw shows this bus, the links around it, and the networks behind them. The lines differ in
// their form too, and say their state in words.
export function draw(node, now) {
  const links = now.links.slice(0, maxDrawn);
  const shape = JSON.stringify([now.networkId, now.links.length, links.map((l) => [l.name, l.state, l.peerNetworkId, l.networksBehind])]);
  if (shape !== drawn) {
    drawn = shape;
    node.replaceChildren(picture(now, links));
  }
  links.forEach((l, i) => setText(labels[i], labelOf(l)));
}

function labelOf(l) {
  const state = word(l.state, 'LINK_STATE_');
  return state === 'up' && l.out !== undefined ? `↗ ${rate(l.out)}  ↙ ${rate(l.in)}` : state;
}

const cut = (text, n) => {
  const shown = [...printable(text)];
  return shown.length > n ? shown.slice(0, n - 1).join('') + '…' : shown.join('');
};

function picture(now, links) {
  const height = links.length < 3 ? plain : tall;
  const x0 = width / 2;
  const y0 = height / 2;
  labels = [];
  const lines = [];
  const nodes = [];
  links.forEach((l, i) => {
    const turn = links.length < 3 ? Math.PI * i : 2 * Math.PI * i / links.length;
    const x = x0 + 290 * Math.cos(turn);
    const y = y0 + 125 * Math.sin(turn);
    const state = word(l.state, 'LINK_STATE_');
    lines.push(svg('line', {class: `link ${state}`, x1: x0, y1: y0, x2: x, y2: y}));
    const label = svg('text', {x: x0 + (x - x0) * 0.52, y: y0 + (y - y0) * 0.52 + 4});
    labels.push(label);
    nodes.push(svg('rect', {class: 'plate', x: x0 + (x - x0) * 0.52 - 62, y: y0 + (y - y0) * 0.52 - 11, width: 124, height: 21}), label);
    const name = l.name === `network ${l.peerNetworkId}` ? '' : cut(l.name, 26);
    const behind = l.networksBehind?.length ? `and behind: ${cut(l.networksBehind.join(', '), 18)}` : '';
    nodes.push(
      svg('rect', {class: 'node', x: x - 85, y: y - 25, width: 170, height: 50, rx: 10}),
      svg('text', {x, y: behind && name ? y - 8 : behind || name ? y - 3 : y + 4}, l.peerNetworkId ? `network ${l.peerNetworkId}` : 'not known yet'),
      svg('text', {class: 'soft', x, y: behind ? y + 6 : y + 13}, name),
      behind ? svg('text', {class: 'soft', x, y: y + 20}, behind) : undefined,
    );
  });
  const more = now.links.length - links.length;
  const said = `Network ${now.networkId ?? 0} with ${now.links.length} links: ` + links.map((l) => `${l.peerNetworkId ? 'network ' + l.peerNetworkId : l.name} is ${word(l.state, 'LINK_STATE_')}`).join(', ');
  return svg('svg', {viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': said},
    lines,
    svg('circle', {class: 'node here', cx: x0, cy: y0, r: 46}),
    svg('text', {x: x0, y: y0}, `network ${now.networkId ?? 0}`),
    svg('text', {class: 'soft', x: x0, y: y0 + 16}, 'this bus'),
    nodes.filter(Boolean),
    more > 0 ? svg('text', {class: 'soft', x: x0, y: height - 6}, `${more} more links stand in the table`) : undefined,
  );
}
