import {call} from './api.js';
import {byId, el, printable, setText} from './dom.js';
import {id, seconds, span, word} from './words.js';

const fields = {};
let result, state;

export function open() {
  fields.name = el('input', {type: 'text', required: true, autocomplete: 'off', spellcheck: 'false', placeholder: '$.Clock.Now'});
  fields.kind = el('select', {}, el('option', {value: 'EXPLAIN_KIND_REQUEST'}, 'a request'), el('option', {value: 'EXPLAIN_KIND_ANNOUNCEMENT'}, 'an announcement'));
  fields.identity = el('input', {type: 'text', autocomplete: 'off', spellcheck: 'false', placeholder: 'you', 'aria-describedby': 'explain-help'});
  state = el('p', {role: 'status'});
  result = el('div', {id: 'explained'});
  byId('explain').append(
    el('p', {id: 'explain-help'}, 'Tells what would become of a message that a program of this bus sends, without sending it. Who sends it is you, or such as "uid:1000" or "name:spiffe://plant/sensor-7".'),
    el('form', {onsubmit: explain}, el('label', {}, 'Name', fields.name), el('label', {}, 'It is', fields.kind), el('label', {}, 'Sent by', fields.identity), el('button', {type: 'submit'}, 'Explain')),
    state, result);
}

async function explain(event) {
  event.preventDefault();
  result.replaceChildren();
  setText(state, 'Asking…');
  try {
    const answer = await call('AdminService/Explain', {name: fields.name.value.trim(), kind: fields.kind.value, identity: fields.identity.value.trim()});
    setText(state, outcome(answer.outcome ?? {}, fields.kind.value === 'EXPLAIN_KIND_REQUEST'));
    if (answer.hop) result.append(el('h3', {}, 'On its way'), el('ul', {class: 'tree', 'aria-label': 'What becomes of it on each bus'}, hop(answer.hop)));
  } catch (e) {
    setText(state, e.message);
  }
}

const address = (a) => `Ksock ${a.ksock ?? 0} on network ${a.network ?? 0}`;

function outcome(o, request) {
  const parts = [];
  if (o.errno) parts.push(`The bus would refuse to send it: ${o.errno}.`);
  if (o.by) parts.push(`It would be answered by ${address(o.by)}.`);
  if (o.answer) parts.push(`Nobody would answer it; its sender would get ${o.answer}.`);
  if (!request && !o.errno) parts.push(o.heard ? 'It would be heard.' : 'Nobody would hear it, as far as can be seen.');
  if (o.unseen) parts.push(`More may become of it: ${ends[word(o.unseen, 'EXPLAIN_END_')] ?? 'that is not known'}.`);
  return parts.join(' ') || 'Nothing would become of it.';
}

const ends = {
  classic: 'the peer is one of upstream’s limpets, which cannot be asked',
  'old peer': 'the peer is a limpetd that cannot be asked',
  'not linked': 'the link is not up, so the bus gives it nothing',
  detached: 'the link has broken, and the message would wait for the peer to come back',
  'no answer': 'the peer has not answered in time',
  busy: 'the peer is asked too often',
  'too far': 'it has gone over 16 links',
  'too large': 'there is no room for the answer',
  unlisted: 'the bus cannot tell what is bound on it',
  hidden: 'the peer tells no more',
};

const rule = (r) => r && `${r.allowed ? 'allowed' : 'denied'} to ${r.action}: ` + (r.rule ? `rule ${r.rule}${r.ofLink ? ' of the link' : ''}: ` : '') + (r.text ?? '');
const stop = (s) => s && ['It ends here', s.reason && `(${s.reason})`, s.errno && `– the bus refuses it: ${s.errno}`, s.answer && `– its sender gets ${s.answer}`].filter(Boolean).join(' ') + '.';
const header = (m) => m ? `${printable(m.name)}${m.idSerial ? ' ' + id(m.idNetwork, m.idSerial) : ''}` : '';
const line = (text, named) => text ? el('li', {class: named}, text) : undefined;
const list = (items) => el('ul', {}, items.flat().filter(Boolean));

function recipient(r, what) {
  return line(`${what} Ksock ${r.ksock ?? 0}${r.link ? `, the link ${r.link}` : ''}, by its binding ${r.binding ?? ''}`
    + (r.denied ? ` – ${rule(r.denied)}` : '') + (r.noRoom ? ' – its queue is full now' : ''), r.denied || r.noRoom ? 'warn' : 'good');
}

// hop says what becomes of a message on one bus, and behind it.
function hop(h) {
  if (h.told) return el('li', {}, `Network ${h.network ?? 0}`, list([line(outcome(h.told, true))]));
  return el('li', {}, el('strong', {}, `Network ${h.network ?? 0}`), ` ${header(h.message)}`, list([
    line(rule(h.rule), h.rule && !h.rule.allowed ? 'bad' : 'soft'),
    line(stop(h.stop), 'bad'),
    h.replier && recipient(h.replier, 'answered by'),
    (h.listeners ?? []).map((l) => recipient(l, 'heard by')),
    line(h.moreListeners && `and ${h.moreListeners} more listeners`),
    (h.claims ?? []).map((c) => line(`${c.name} is bound behind ${c.link}, and not here: ${c.denied ? 'the rules do not let the peer' : 'another replier has it'}`, 'warn')),
    (h.branches ?? []).map(branch),
    line(h.moreBranches && `and ${h.moreBranches} more links`),
  ]));
}

function branch(b) {
  return el('li', {}, `over ${printable(b.link)}${b.network ? ` to network ${b.network}` : ''}, ${b.request ? 'as the request' : 'for listeners'}`
    + (b.message ? `, as ${header(b.message)}` : '') + (b.took ? ` (${span(seconds(b.took))})` : ''), list([
    line(rule(b.rule), b.rule && !b.rule.allowed ? 'bad' : 'soft'),
    line(stop(b.stop), 'bad'),
    line(b.end && `Nothing is known behind it: ${ends[word(b.end, 'EXPLAIN_END_')] ?? 'why is not known'}${b.why ? ` (${b.why})` : ''}.`, 'warn'),
    b.next && hop(b.next),
  ]));
}
