import {call} from './api.js';
import {byId, el, setText, Table} from './dom.js';
import {count} from './words.js';

export const every = 3000;

// maxPages and maxShown bound what is fetched and shown at once.
const maxPages = 8;
const maxShown = 500;

let table, search, sum;
let all = [];
let whole = true;
let links = new Map();

export function open() {
  search = el('input', {type: 'search', id: 'bindings-search', autocomplete: 'off', spellcheck: 'false', oninput: show});
  sum = el('p', {role: 'status'});
  byId('bindings').append(el('form', {role: 'search', onsubmit: (e) => e.preventDefault()}, el('label', {}, 'A part of a name, or "replier", or a Ksock’s number', search)), sum);
  table = new Table(byId('bindings'), 'What is bound on this bus', [{title: 'Name', mono: true}, {title: 'As'}, {title: 'Ksock', number: true}, {title: 'Of'}], 'Nothing is bound that matches.');
}

export async function look(signal) {
  const found = [];
  let token = '';
  for (let page = 0; page < maxPages; page++) {
    const answer = await call('BusService/ListBindings', {pageToken: token}, signal);
    found.push(...(answer.bindings ?? []));
    token = answer.nextPageToken ?? '';
    if (!token) break;
  }
  whole = !token;
  try {
    const status = await call('AdminService/GetStatus', {}, signal);
    links = new Map((status.links ?? []).filter((l) => l.ksock).map((l) => [l.ksock, l.name]));
  } catch (e) {
    if (signal.aborted) throw e; // else we may not know
  }
  all = found;
  show();
}

function show() {
  const words = search.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const seen = new Map(); // a Ksock may bind a name more than once
  const rows = [];
  let matched = 0;
  for (const b of all) {
    const as = b.isReplier ? 'replier' : 'listener';
    const of = links.get(b.ksock) ? `link ${links.get(b.ksock)}` : 'a program';
    const text = `${b.name} ${as} ${b.ksock} ${of}`.toLowerCase();
    if (!words.every((w) => text.includes(w))) continue;
    matched++;
    if (rows.length >= maxShown) continue;
    const same = `${b.ksock} ${as} ${b.name}`;
    seen.set(same, (seen.get(same) ?? 0) + 1);
    rows.push({key: `${same} ${seen.get(same)}`, cells: [b.name, as, String(b.ksock), of]});
  }
  table.show(rows);
  setText(sum, `${count(matched)} of ${count(all.length)} bindings match` + (matched > rows.length ? `, the newest ${count(rows.length)} are shown` : '') + (whole ? '' : '; there are more than this page reads'));
}
