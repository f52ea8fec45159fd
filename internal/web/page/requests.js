import {call} from './api.js';
import {byId, el, setText, Table} from './dom.js';
import {count, id, seconds, span, word} from './words.js';

export const every = 1000;

let table, sum, name, slow, slowSum;

// stateNames say how far a request has come.
const stateNames = {
  queued: 'waits in its replier’s queue', read: 'its replier has read it', taken: 'taken by the link, not yet sent',
  handed: 'sent to the peer', acknowledged: 'on the peer’s bus',
};

const who = (ksock, link) => link ? `link ${link}` : ksock ? `Ksock ${ksock}` : 'not known';

export function open() {
  name = el('input', {type: 'search', autocomplete: 'off', spellcheck: 'false', placeholder: '$.*'});
  sum = el('p', {role: 'status'});
  slowSum = el('p', {class: 'soft'});
  const view = byId('requests');
  view.append(el('form', {onsubmit: (e) => e.preventDefault()}, el('label', {}, 'A name or wildcard', name)), sum);
  table = new Table(view, 'Requests that have no reply yet, the oldest first', [
    {title: 'Name', mono: true}, {title: 'Id'}, {title: 'Open for', number: true}, {title: 'How far'}, {title: 'Asked by'}, {title: 'Replier'},
  ], 'Every request has its reply.');
  view.append(el('h3', {}, 'Slowest repliers'), slowSum);
  slow = new Table(view, 'The names whose requests have taken most time', [
    {title: 'Name', mono: true}, {title: 'Replier'}, {title: 'Answered', number: true}, {title: 'Half within', number: true}, {title: '99 in 100 within', number: true}, {title: 'Slowest', number: true},
  ], 'Nothing has been answered yet while somebody was looking.');
}

export async function look(signal) {
  const answer = await call('AdminService/ListOpenRequests', {pageSize: 200, name: name.value.trim()}, signal);
  const rows = answer.requests ?? [];
  table.show(rows.map((r) => {
    const age = seconds(r.age);
    const state = word(r.state, 'OPEN_REQUEST_STATE_');
    return {key: `${r.idNetwork ?? 0}:${r.idSerial} ${r.askerLink ?? ''}`, cells: [
      r.name, id(r.idNetwork, r.idSerial), {text: span(age), class: age > 30 ? 'warn' : ''}, stateNames[state] ?? 'not known', who(r.asker, r.askerLink), who(r.replier, r.replierLink),
    ]};
  }));
  setText(sum, `${count(answer.open)} requests are open` + (Number(answer.open ?? 0) > rows.length ? `, the oldest ${count(rows.length)} are shown` : ''));
  const repliers = await call('AdminService/ListSlowRepliers', {max: 20}, signal);
  setText(slowSum, repliers.since ? `Counted since ${new Date(repliers.since).toLocaleTimeString('en-GB')}, while somebody looks.` : '');
  slow.show((repliers.repliers ?? []).map((r) => ({key: `${r.name} ${r.link ?? ''}`, cells: [
    r.name, who(r.ksock, r.link), count(r.count), span(seconds(r.p50)), span(seconds(r.p99)), span(seconds(r.max)),
  ]})));
}
