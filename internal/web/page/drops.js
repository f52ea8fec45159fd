import {Failed, follow} from './api.js';
import {byId, el, setText} from './dom.js';
import {Records} from './records.js';
import {clock, count, id, word} from './words.js';

let records, state, sum;
let told = new Map(); // of how many we know, by reason

export function open() {
  state = el('p', {role: 'status'});
  sum = el('p', {class: 'soft'});
  byId('drops').append(el('p', {}, 'Messages that were dropped, as it happens; never their data.'), state, sum);
  records = new Records(byId('drops'), 'The latest dropped messages, the latest first', [
    {title: 'When'}, {title: 'Name', mono: true}, {title: 'Why'}, {title: 'Where'}, {title: 'Id'}, {title: 'Data', number: true},
  ], 'Nothing was dropped.');
}

function where(d) {
  switch (word(d.source, 'DROP_SOURCE_')) {
    case 'link': return `${d.link}, ${d.fromPeer ? 'from the peer' : 'from our bus'}`;
    case 'bus': return `Ksock ${d.missedBy} has missed it` + (d.missedByLink ? `, that of ${d.missedByLink}` : '');
    case 'rules': return `the rules, to ${d.identity}`;
    default: return 'not known';
  }
}

const known = (reason, n) => told.set(reason, (told.get(reason) ?? 0) + n);

function take(answer) {
  for (const d of answer.drops ?? []) known(d.reason, 1);
  for (const c of answer.untold ?? []) known(c.reason, Number(c.count));
  records.add((answer.drops ?? []).map((d) => [
    clock(d.time), d.message?.name, d.reason, where(d), id(d.message?.idNetwork, d.message?.idSerial), `${count(d.dataSize)} B`,
  ]));
  if (answer.whole) setText(state, 'Following what is dropped from now on.');
  setText(sum, [...told].map(([reason, n]) => `${reason}: ${count(n)}`).join(', '));
}

export async function show(signal) {
  while (!signal.aborted) {
    records.clear();
    told = new Map();
    setText(state, 'Reading what was dropped…');
    try {
      await follow('AdminService/WatchDrops', {}, take, signal);
    } catch (e) {
      if (signal.aborted) return;
      setText(state, e.message);
      if (e instanceof Failed && e.code !== 0 && e.code !== 14) return; // not what passes
    }
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}
