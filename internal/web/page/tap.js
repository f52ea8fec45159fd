import {follow} from './api.js';
import {byId, el, setText} from './dom.js';
import {Records} from './records.js';
import {clock, count, far, id, word} from './words.js';

// maxRate is what is asked for at most: nobody reads more.
const maxRate = 50;
const maxData = 120;

let records, state, button, wanted;
let on; // ends the tap
let viewing; // the view's signal

const fields = {};

export function open(me) {
  const select = (options) => el('select', {}, options.map(([value, text]) => el('option', {value}, text)));
  fields.name = el('input', {type: 'text', autocomplete: 'off', spellcheck: 'false', placeholder: '$.*'});
  fields.link = el('input', {type: 'text', autocomplete: 'off', spellcheck: 'false', placeholder: 'all'});
  fields.direction = select([['', 'both ways'], ['TAP_DIRECTION_TO_PEER', 'to the peer'], ['TAP_DIRECTION_FROM_PEER', 'from the peer']]);
  fields.reason = select([['', 'everything'], ['dropped', 'what is dropped'], ['lost', 'what is lost']]);
  fields.data = el('input', {type: 'checkbox'});
  button = el('button', {type: 'submit'}, 'Begin');
  const form = el('form', {onsubmit: begin},
    el('label', {}, 'Name or wildcard', fields.name), el('label', {}, 'Link', fields.link),
    el('label', {}, 'Direction', fields.direction), el('label', {}, 'What', fields.reason),
    me.looks ? undefined : el('label', {class: 'check'}, fields.data, 'with the beginning of the data'), button);
  state = el('p', {role: 'status'}, 'Shows messages that pass the links, before and after their ids and names are changed. It slows no message down.');
  byId('tap').append(form, state);
  records = new Records(byId('tap'), 'Messages that passed the links, the latest first', [
    {title: 'When'}, {title: 'Link'}, {title: 'What'}, {title: 'Became'}, {title: 'As it was read', mono: true}, {title: 'As it was given', mono: true}, {title: 'Data', mono: true},
  ], 'Nothing has passed.');
}

// message says a header: the name, the id, and where the message is from and to.
function message(m) {
  if (!m) return '–';
  return [m.name, id(m.idNetwork, m.idSerial), m.inReplyToSerial ? `in reply to ${id(m.inReplyToNetwork, m.inReplyToSerial)}` : '',
    m.from ? `from ${m.from}` : '', m.to ? `to ${m.to}` : '', far(m.origFromNetwork, m.origFromLocal) && `orig ${far(m.origFromNetwork, m.origFromLocal)}`].filter(Boolean).join(' ');
}

function data(r) {
  if (r.dataWithheld) return `${count(r.size)} B, which you may not see`;
  if (!r.data) return `${count(r.size)} B`;
  const bytes = Uint8Array.from(atob(r.data), (c) => c.charCodeAt(0));
  const cut = bytes.length < (r.size ?? 0) ? '…' : '';
  try {
    return `${count(r.size)} B "${new TextDecoder('utf-8', {fatal: true}).decode(bytes, {stream: cut !== ''})}"${cut}`;
  } catch {
    return `${count(r.size)} B ${[...bytes].map((b) => b.toString(16).padStart(2, '0')).join(' ')}${cut}`;
  }
}

function take(answer) {
  records.add((answer.records ?? []).map((r) => [
    clock(r.time), `${r.link} ${r.direction === 'TAP_DIRECTION_TO_PEER' ? '→' : '←'}`, word(r.kind, 'TAP_KIND_') + (r.own ? ' of our own' : ''),
    {text: word(r.verdict, 'TAP_VERDICT_') + (r.reason ? `: ${r.reason}` : ''), class: r.loss ? 'bad' : ''}, message(r.read), message(r.given), data(r),
  ]));
  if (answer.lost) setText(state, `${count(answer.lost.overRate)} more than ${maxRate} a second, and ${count(answer.lost.noRoom)} that came too fast, are not shown.`);
  else if (answer.start) setText(state, `On: at most ${count(answer.start.maxRate)} messages a second are shown.`);
}

function begin(event) {
  event.preventDefault();
  if (wanted) {
    wanted = undefined;
    on?.abort();
    return;
  }
  wanted = {
    names: fields.name.value.trim() ? [fields.name.value.trim()] : [], links: fields.link.value.trim() ? [fields.link.value.trim()] : [],
    reasons: fields.reason.value ? [fields.reason.value] : [], maxRate, maxData: fields.data.checked ? maxData : 0,
  };
  if (fields.direction.value) wanted.direction = fields.direction.value;
  run(viewing);
}

async function run(signal) {
  on = new AbortController();
  const both = AbortSignal.any([signal, on.signal]);
  records.clear();
  setText(button, 'End');
  setText(state, 'Beginning…');
  try {
    await follow('AdminService/Tap', wanted, take, both);
    setText(state, 'It has ended.');
  } catch (e) {
    if (both.aborted) setText(state, 'Off.');
    else setText(state, e.message);
  }
  if (!signal.aborted) wanted = undefined; // else it goes on when somebody looks again
  setText(button, 'Begin');
}

export function show(signal) {
  viewing = signal;
  if (wanted) run(signal);
}
