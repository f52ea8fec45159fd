import {Failed, visitor} from './api.js';
import {byId, printable, say, setText} from './dom.js';
import * as bindings from './bindings.js';
import * as drops from './drops.js';
import * as events from './events.js';
import * as explain from './explain.js';
import * as overview from './overview.js';
import * as programs from './programs.js';
import * as requests from './requests.js';
import * as tap from './tap.js';

// A view has open(me), called once; show(signal), which may run until signal is aborted, when
// nobody looks any more; and look(signal), which is called again and again meanwhile. Each of
// them may be missing. every is the least time between two looks, in milliseconds.
const views = {overview, bindings, programs, requests, drops, events, tap, explain};

// share bounds the part of the time for which the daemon works for us: a look that took long is
// followed by a longer pause.
const share = 10;

let me;
let shown; // what ends the view that is shown
const opened = new Set();

const pause = (ms, signal) => new Promise((resolve) => {
  const timer = setTimeout(resolve, ms);
  signal.addEventListener('abort', () => { clearTimeout(timer); resolve(); }, {once: true});
});

// state tells how the page and the daemon get on.
function state(text, bad) {
  const node = byId('connection');
  setText(node, text);
  node.className = bad ? 'bad' : 'good';
}

function trouble(e) {
  state(e instanceof Failed ? e.message : String(e), true);
}

async function watch(view, signal) {
  for (let failed = 0; !signal.aborted;) {
    const began = performance.now();
    let wait;
    try {
      if (!me) await meet();
      await view.look?.(signal);
      if (signal.aborted) return;
      state('connected', false);
      failed = 0;
      wait = Math.max(view.every ?? 1000, share * (performance.now() - began));
    } catch (e) {
      if (signal.aborted) return;
      trouble(e);
      failed++;
      wait = Math.min(1000 * 2 ** failed, 15000);
    }
    await pause(wait, signal);
  }
}

async function meet() {
  const found = await visitor();
  setText(byId('who'), `you are ${found.identity} (${found.transport})` + (found.looks ? ', and may only look' : ''));
  me = found;
}

async function show() {
  shown?.abort();
  const name = location.hash.slice(1) in views ? location.hash.slice(1) : 'overview';
  for (const section of document.querySelectorAll('main > section')) section.hidden = section.id !== name;
  for (const a of document.querySelectorAll('nav a')) {
    if (a.hash === '#' + name) a.setAttribute('aria-current', 'page');
    else a.removeAttribute('aria-current');
  }
  if (document.hidden) return;
  shown = new AbortController();
  const {signal} = shown;
  const view = views[name];
  try {
    if (!me) await meet();
    if (signal.aborted) return;
    if (!opened.has(name)) {
      opened.add(name);
      view.open?.(me);
    }
  } catch (e) {
    trouble(e);
    await pause(2000, signal);
    if (!signal.aborted) show();
    return;
  }
  view.show?.(signal);
  watch(view, signal);
}

addEventListener('hashchange', () => {
  show();
  const title = document.querySelector('main > section:not([hidden]) h2');
  title?.focus();
  document.title = `${printable(title?.textContent)} – limpetd`;
  say(`${title?.textContent} is shown`);
});
document.addEventListener('visibilitychange', show);
show();
