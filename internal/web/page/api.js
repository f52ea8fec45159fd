// The services, as the door offers them.

const prefix = '/kbus.limpet.v1.';

// Failed is how a call ends that is refused. code is gRPC's number, or 0 if there was no answer.
export class Failed extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

async function post(method, request, signal) {
  let answer;
  try {
    answer = await fetch(prefix + method, {
      method: 'POST', headers: {'content-type': 'application/json'}, body: JSON.stringify(request), signal, redirect: 'error',
    });
  } catch (e) {
    if (signal?.aborted) throw e;
    throw new Failed(0, 'limpetd cannot be reached');
  }
  if (answer.ok) return answer;
  let said;
  try {
    said = await answer.json();
  } catch {
    throw new Failed(0, `limpetd answers ${answer.status}`);
  }
  said = said.error ?? said;
  throw new Failed(said.code, said.message);
}

// call makes a call, and returns its answer.
export async function call(method, request = {}, signal = undefined) {
  const answer = await post(method, request, signal);
  return answer.json();
}

// maxLine bounds a line of a stream, in characters.
const maxLine = 8 << 20;

// follow makes a call that is answered by a stream, and hands each answer to told, until signal
// is aborted or the stream ends.
export async function follow(method, request, told, signal) {
  const answer = await post(method, request, signal);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return;
    const lines = (rest + value).split('\n');
    rest = lines.pop();
    if (rest.length > maxLine) throw new Failed(0, 'limpetd says too much at once');
    for (const line of lines) {
      if (line === '') continue;
      const said = JSON.parse(line);
      if (said.error) throw new Failed(said.error.code, said.error.message);
      told(said.result);
    }
  }
}

// visitor returns who we are to the daemon, and what we may.
export async function visitor() {
  const answer = await fetch('/visitor');
  if (!answer.ok) throw new Failed(0, `limpetd answers ${answer.status}`);
  return answer.json();
}
