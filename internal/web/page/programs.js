import {call} from './api.js';
import {byId, el, setText, Table} from './dom.js';
import {count, since} from './words.js';

export const every = 2000;

// maxPages bounds how much is fetched at once, and maxNames how many names a row has.
const maxPages = 5;
const maxNames = 5;

let table, peers, sum, may;

export function open() {
  may = el('input', {type: 'text', autocomplete: 'off', spellcheck: 'false', value: '$.*'});
  sum = el('p', {role: 'status'});
  const view = byId('programs');
  view.append(el('form', {onsubmit: (e) => e.preventDefault()}, el('label', {}, 'Judge their rights for this name', may)), sum);
  table = new Table(view, 'Programs with a call that goes on', [
    {title: 'Who'}, {title: 'Call'}, {title: 'For'}, {title: 'Ksock', number: true}, {title: 'Bound', mono: true}, {title: 'Owes', number: true}, {title: 'Queued', number: true}, {title: 'May'},
  ], 'No program is connected by a call that goes on.');
  view.append(el('h3', {}, 'Peers'));
  peers = new Table(view, 'What the peers of links may', [{title: 'Link'}, {title: 'May'}], 'There are no links.');
}

const rights = (all = []) => all.filter((r) => r.allowed).map((r) => r.action).join(', ') || 'nothing';

function names(p) {
  const some = (p.names ?? []).slice(0, maxNames).map((n) => n.name + (n.isReplier ? ' (replies)' : ''));
  const more = (p.namesBound ?? 0) - some.length;
  return some.join(', ') + (more > 0 ? ` and ${count(more)} more` : '');
}

export async function look(signal) {
  const found = [];
  let links = [];
  let token = '';
  for (let page = 0; page < maxPages; page++) {
    const answer = await call('AdminService/ListPrograms', {pageToken: token, may: may.value.trim()}, signal);
    found.push(...(answer.programs ?? []));
    if (answer.peers) links = answer.peers;
    token = answer.nextPageToken ?? '';
    if (!token) break;
  }
  setText(sum, `${count(found.length)} are connected` + (token ? ', and more than this page reads' : ''));
  table.show(found.map((p, i) => ({key: `${p.ksock ?? ''} ${p.call} ${p.source} ${p.since} ${p.ksock ? '' : i}`, cells: [
    p.identity, (p.call ?? '') + (p.detachedSince ? `, away for ${since(p.detachedSince)}` : ''), since(p.since), p.ksock ? String(p.ksock) : '', names(p), count(p.owed), count(p.queued), rights(p.rights),
  ]})));
  peers.show(links.map((l) => ({key: l.link, cells: [l.link, rights(l.rights)]})));
}
