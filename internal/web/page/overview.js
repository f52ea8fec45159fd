import {call} from './api.js';
import {byId, confirm, el, printable, say, setText, Table} from './dom.js';
import {draw} from './map.js';
import {count, rate, since, span, word} from './words.js';

export const every = 1000;

// maxHistory bounds what is remembered of a link.
const maxHistory = 50;

// networksEvery is how many looks one look at the networks behind the peers is for.
const networksEvery = 10;

let me, links, networks, open;
let looks = 0;
let before; // the status of the look before, and when that was
const history = new Map(); // what was seen of each link: {time, text}, latest first

// stateOf says a link's state.
export const stateOf = (link) => word(link.state, 'LINK_STATE_') || 'unknown';

const stateClass = {up: 'good', connecting: 'bad', detached: 'warn', draining: 'warn'};

export function open_(visitor) {
  me = visitor;
  links = new Table(byId('links'), 'The links of this bus, and how much they carry now', [
    {title: 'Link'}, {title: 'State'}, {title: 'Peer'}, {title: 'To the peer', number: true}, {title: 'From the peer', number: true},
    {title: 'Open', number: true}, {title: 'Lost', number: true}, {title: 'More'},
  ], 'There are no links.');
  networks = new Table(byId('networks'), 'Networks that can be reached, and what runs there', [{title: 'Network'}, {title: 'Over'}, {title: 'Version'}, {title: 'Instance', mono: true}], 'No other network can be reached.');
  if (!me.looks && me.admin) {
    byId('actions').append(el('h3', {}, 'Configuration'), el('p', {class: 'buttons'}, el('button', {type: 'button', onclick: reload}, 'Reload the configuration…')));
  }
}
export {open_ as open};

// all returns the status with every link: an answer has as many as fit.
async function status(signal) {
  const all = await call('AdminService/GetStatus', {}, signal);
  for (let next = all.nextPageToken; next;) {
    const more = await call('AdminService/GetStatus', {pageToken: next}, signal);
    all.links = [...(all.links ?? []), ...(more.links ?? [])];
    next = more.nextPageToken;
  }
  all.links ??= [];
  return all;
}

export async function look(signal) {
  const now = await status(signal);
  const at = performance.now();
  if (before && before.status.instanceId !== now.instanceId) before = undefined; // another daemon
  const was = new Map(before?.status.links.map((l) => [l.name, l]));
  const passed = before ? (at - before.at) / 1000 : 0;
  for (const link of now.links) {
    const old = was.get(link.name);
    const per = (what) => old ? Math.max(0, Number(link.counts?.[what] ?? 0) - Number(old.counts?.[what] ?? 0)) / passed : undefined;
    link.out = per('fromBus');
    link.in = per('fromPeer');
    remember(link, old);
  }
  for (const name of history.keys()) {
    if (!now.links.some((l) => l.name === name)) history.delete(name);
  }
  before = {status: now, at};
  facts(now);
  draw(byId('map'), now);
  table(now);
  more(now);
  if (looks++ % networksEvery === 0) await reach(signal);
}

async function reach(signal) {
  const answer = await call('AdminService/ListNetworks', {}, signal);
  networks.show((answer.networks ?? []).map((n) => ({key: `${n.networkId} ${n.link}`, cells: [
    `network ${n.networkId}`, n.link + (n.behind ? ', behind its peer' : ''), n.version || 'not known', n.instanceId || '–',
  ]})));
}

function remember(link, old) {
  if (!history.has(link.name)) history.set(link.name, []);
  const seen = history.get(link.name);
  const note = (text) => {
    seen.unshift({time: new Date(), text});
    seen.length = Math.min(seen.length, maxHistory);
  };
  if (!old) {
    note(`it is ${stateOf(link)}` + (link.lastError ? `: ${link.lastError}` : ''));
    return;
  }
  if (old.state !== link.state) {
    const text = `it was ${stateOf(old)}, and is ${stateOf(link)}` + (link.lastError ? `: ${link.lastError}` : '');
    note(text);
    say(`${link.name}: ${text}`);
  } else if (old.lastError !== link.lastError && link.lastError) {
    note(link.lastError);
  }
  if (Number(link.epochs ?? 0) > Number(old.epochs ?? 0)) note('a new epoch has begun');
  if (Number(link.resumed ?? 0) > Number(old.resumed ?? 0)) note('a stream that broke was resumed');
}

function describe(node, pairs) {
  pairs = pairs.filter(([, value]) => value !== undefined && value !== '');
  const names = pairs.map(([name]) => name).join('\n');
  if (node.dataset.names !== names) {
    node.dataset.names = names;
    node.replaceChildren(...pairs.map(([name]) => el('div', {}, el('dt', {}, name), el('dd'))));
  }
  pairs.forEach(([, value], i) => setText(node.children[i].lastChild, value));
}

const total = (now, of) => now.links.reduce((sum, l) => sum + of(l), 0);
const lost = (link) => Object.values(link.counts?.lost ?? {}).reduce((sum, n) => sum + Number(n), 0);

function facts(now) {
  setText(byId('which'), `network ${now.networkId ?? 0}`);
  describe(byId('facts'), [
    ['Bus', now.bus],
    ['Version', now.version],
    ['Up for', since(now.startTime)],
    ['Links up', `${now.links.filter((l) => stateOf(l) === 'up').length} of ${now.links.length}`],
    ['Bindings', count(now.bindings)],
    ['Open over links', count(total(now, (l) => Number(l.counts?.open ?? 0)))],
    ['Lost by links', count(total(now, lost))],
    ['Missed by programs', count(now.apiMissed)],
    ['Denied to programs', count(now.apiDenied)],
    ['Certificate ends in', now.certificateExpires ? span((Date.parse(now.certificateExpires) - Date.now()) / 1000) : ''],
  ]);
  const warnings = (now.insecure ?? []).map((a) => `${a}: without TLS, whoever reaches it can read and change everything`);
  for (const b of now.boundsReached ?? []) warnings.push(`${b.who}: ${b.bound} was reached ${count(b.count)} times`);
  const list = byId('warnings');
  const text = warnings.join('\n');
  if (list.dataset.text !== text) {
    list.dataset.text = text;
    list.replaceChildren(...warnings.map((w) => el('li', {}, w)));
    list.hidden = warnings.length === 0;
  }
}

function table(now) {
  links.show(now.links.map((l) => ({key: l.name, cells: [
    l.name,
    {text: `${stateOf(l)} for ${since(l.since)}`, class: stateClass[stateOf(l)]},
    [l.peerNetworkId && `network ${l.peerNetworkId}`, l.transport, l.identity, l.peerVersion].filter(Boolean).join(', ') || '–',
    rate(l.out), rate(l.in),
    count(l.counts?.open),
    {text: count(lost(l)), class: lost(l) > 0 ? 'bad' : ''},
    () => el('button', {type: 'button', 'aria-expanded': 'false', 'aria-controls': 'history', 'aria-label': `History of ${l.name}`, onclick: (e) => toggle(l.name, e.currentTarget)}, 'History'),
  ].map((c) => Array.isArray(c) ? c.join('') : c)})));
}

function toggle(name, button) {
  for (const b of byId('links').querySelectorAll('button[aria-expanded=true]')) b.setAttribute('aria-expanded', 'false');
  if (open?.name === name) {
    byId('history').replaceChildren();
    open = undefined;
    return;
  }
  button.setAttribute('aria-expanded', 'true');
  const facts = el('dl');
  const seen = el('ol', {reversed: true});
  const fates = new Table(el('div'), 'What became of its messages', [{title: 'Fate'}, {title: 'From our bus', number: true}, {title: 'From the peer', number: true}], 'It has carried nothing yet.');
  const title = el('h3', {tabindex: '-1'}, `History of ${name}`);
  byId('history').replaceChildren(...[
    title, facts, fates.body.closest('.scroll').parentNode,
    el('h4', {}, 'Seen since this page was opened, latest first'), seen,
    !me.looks && me.admin ? el('p', {class: 'buttons'}, el('button', {type: 'button', class: 'danger', onclick: () => drain(name)}, `Drain ${printable(name)}…`)) : undefined,
  ].filter(Boolean));
  open = {name, facts, seen, fates};
  if (before) more(before.status);
  title.focus();
}

function more(now) {
  if (!open) return;
  const l = now.links.find((x) => x.name === open.name);
  if (!l) {
    setText(open.facts, 'It is gone.');
    return;
  }
  describe(open.facts, [
    ['State', `${stateOf(l)} for ${since(l.since)}`],
    ['Last reason', [l.lastError, l.errorCode && `(${l.errorCode})`].filter(Boolean).join(' ')],
    ['Epochs', count(l.epochs)],
    ['Streams resumed', count(l.resumed)],
    ['Dialled by', l.dialled ? 'us' : 'the peer'],
    ['Peer', l.identity],
    ['Version there', l.peerVersion],
    ['Networks behind', (l.networksBehind ?? []).join(', ')],
    ['In flight', `${count(l.counts?.fromBusInFlight)} to, ${count(l.counts?.fromPeerInFlight)} from the peer`],
    ['Requests', `${count(l.counts?.requests)}: ${count(l.counts?.replies)} answered by the peer, ${count(l.counts?.synthetic)} by us, ${count(l.counts?.open)} open`],
    ['Window full', `${count(l.counts?.windowFull)} times`],
    ['Queue', `${count(l.counts?.queued)} of ${count(l.counts?.queueBound)}`],
    ['Names for repliers there', count(l.counts?.proxies)],
  ]);
  const to = l.counts?.fromBusEnded ?? {};
  const from = l.counts?.fromPeerEnded ?? {};
  open.fates.show([...new Set([...Object.keys(to), ...Object.keys(from)])].sort().map((fate) => ({key: fate, cells: [
    l.counts?.lost?.[fate] ? `${fate} (lost)` : fate, count(to[fate]), count(from[fate]),
  ]})));
  const seen = history.get(l.name) ?? [];
  const key = `${seen.length} ${seen[0]?.time}`;
  if (open.seen.dataset.key !== key) {
    open.seen.dataset.key = key;
    open.seen.replaceChildren(...seen.map((s) => el('li', {}, `${s.time.toLocaleTimeString('en-GB')} ${s.text}`)));
  }
}

async function drain(name) {
  if (!await confirm('Drain this link?', `${name} takes no new requests, and ends when those that are open are answered. The side that dials opens it again.`, 'Drain it')) return;
  await tell(async () => {
    const done = await call('AdminService/DrainLink', {name});
    return `${name} is drained; ${count(done.unfinished)} requests were unfinished`;
  });
}

async function reload() {
  let changes;
  try {
    changes = (await call('AdminService/Reload', {dryRun: true})).changes ?? [];
  } catch (e) {
    await confirm('The configuration cannot be reloaded', e.message, 'So be it');
    return;
  }
  const text = changes.map((c) => `${c.what}: ${c.before || 'not there'} → ${c.after || 'removed'}`).join('; ') || 'Nothing would change.';
  if (!await confirm('Reload the configuration?', text, 'Reload it')) return;
  await tell(async () => {
    const done = await call('AdminService/Reload', {});
    return `the configuration is reloaded; ${count((done.changes ?? []).length)} changes`;
  });
}

// tell does something, and says what came of it.
async function tell(deed) {
  let text, bad = false;
  try {
    text = await deed();
  } catch (e) {
    text = e.message;
    bad = true;
  }
  const actions = byId('actions');
  actions.querySelector('.result')?.remove();
  actions.append(el('p', {class: bad ? 'result problem' : 'result', role: 'alert'}, text));
}
