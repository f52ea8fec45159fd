import {Failed, follow} from './api.js';
import {byId, el, setText} from './dom.js';
import {Records} from './records.js';
import {clock, count, word} from './words.js';

let records, state, from, level;
let viewing; // the view's signal
let on; // ends what is followed now

export function open() {
  const select = (label, options) => {
    const node = el('select', {onchange: () => run(viewing)}, options.map(([value, text]) => el('option', {value}, text)));
    return [node, el('label', {}, label, node)];
  };
  let fromLabel, levelLabel;
  [from, fromLabel] = select('From', [['3600s', 'the last hour'], ['86400s', 'the last day'], ['EVENT_MARK_RELOAD', 'the last reload'], ['EVENT_MARK_START', 'the start of the daemon']]);
  [level, levelLabel] = select('At least', [['EVENT_LEVEL_INFO', 'info'], ['EVENT_LEVEL_WARN', 'warnings'], ['EVENT_LEVEL_ERROR', 'errors']]);
  state = el('p', {role: 'status'});
  byId('events').append(el('form', {onsubmit: (e) => e.preventDefault()}, fromLabel, levelLabel), state);
  records = new Records(byId('events'), 'What has happened, the latest first', [{title: 'When'}, {title: 'Level'}, {title: 'Event'}, {title: 'With'}], 'Nothing has happened.');
}

const levelClass = {warn: 'warn', error: 'bad'};

function take(answer) {
  records.add((answer.events ?? []).map((e) => {
    const of = word(e.level, 'EVENT_LEVEL_');
    return [clock(e.time), {text: of, class: levelClass[of]}, e.event, (e.attributes ?? []).map((a) => `${a.key}=${a.value ?? ''}`).join(' ')];
  }));
  if (answer.missed) setText(state, `${count(answer.missed)} more came too fast to be told.`);
  else if (answer.whole) setText(state, 'Following what happens from now on.');
}

async function run(signal) {
  on?.abort();
  on = new AbortController();
  const both = AbortSignal.any([signal, on.signal]);
  while (!both.aborted) {
    records.clear();
    setText(state, 'Reading…');
    const request = {follow: true, level: level.value};
    request[from.value.startsWith('EVENT') ? 'mark' : 'last'] = from.value;
    try {
      await follow('AdminService/WatchEvents', request, take, both);
    } catch (e) {
      if (both.aborted) return;
      setText(state, e.message);
      if (e instanceof Failed && e.code !== 0 && e.code !== 14) return; // not what passes
    }
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}

export function show(signal) {
  viewing = signal;
  run(signal);
}
