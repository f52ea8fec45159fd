// How numbers, times and states are said.

const counts = new Intl.NumberFormat('en');
const short = new Intl.NumberFormat('en', {notation: 'compact', maximumFractionDigits: 1});

// count says a count, which JSON has as text if it may be great.
export const count = (n) => counts.format(Number(n ?? 0));

// rate says so many a second.
export function rate(perSecond) {
  if (perSecond === undefined) return '';
  return (perSecond < 10 && perSecond > 0 ? perSecond.toFixed(1) : short.format(Math.round(perSecond))) + '/s';
}

// seconds reads a duration of protobuf's, "1.5s".
export const seconds = (duration) => Number.parseFloat(duration ?? '0');

// span says so many seconds.
export function span(s) {
  if (s < 1) return `${Math.max(0, Math.round(s * 1000))} ms`;
  if (s < 60) return `${s < 10 ? s.toFixed(1) : Math.floor(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s % 86400 / 3600)} h`;
}

// since says how long ago a time is.
export const since = (time, now = Date.now()) => time ? span(Math.max(0, (now - Date.parse(time)) / 1000)) : '';

// clock says a time of the day, with the date if it is another one.
export function clock(time) {
  const t = new Date(time);
  const day = t.toDateString() === new Date().toDateString() ? '' : t.toLocaleDateString('en-CA') + ' ';
  return day + t.toLocaleTimeString('en-GB') + '.' + String(t.getMilliseconds()).padStart(3, '0');
}

// word says a value of an enum without its prefix: word('LINK_STATE_UP', 'LINK_STATE_') is
// "up".
export const word = (value, before) => (value ?? '').replace(before, '').replaceAll('_', ' ').toLowerCase();

// id says a message's id, and far a far sender.
export const id = (network, serial) => `[${network ?? 0}:${serial ?? 0}]`;
export const far = (network, local) => network || local ? `{${network ?? 0}:${local ?? 0}}` : '';

