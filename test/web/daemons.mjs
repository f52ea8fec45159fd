// Two linked daemons with traffic, in the hands of a test.
import {spawn} from 'node:child_process';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import {tmpdir} from 'node:os';
import path from 'node:path';

const binaries = process.env.LIMPET_BINARIES;

// hostile is how a link is called here.
export const hostile = '<img src=x onerror="window.hacked=1">';

export class World {
  constructor() {
    this.dir = mkdtempSync(path.join(tmpdir(), 'limpet-web-'));
    this.all = new Set();
    this.forwarders = [];
  }

  // run starts a program, and resolves when its output has a line that matches said.
  run(name, args, said) {
    return new Promise((resolve, reject) => {
      const p = spawn(path.join(binaries, name), args, {stdio: ['ignore', 'pipe', 'pipe']});
      this.all.add(p);
      p.output = '';
      const take = (data) => {
        p.output = (p.output + data).slice(-100_000);
        const found = p.output.match(said);
        if (found) resolve(Object.assign(p, {found}));
      };
      p.stdout.on('data', take);
      p.stderr.on('data', take);
      p.on('exit', (code) => {
        this.all.delete(p);
        reject(new Error(`${name} ended with ${code}: ${p.output}`));
      });
    });
  }

  at(file) { return path.join(this.dir, file); }

  startA() {
    return this.run('limpetd', ['--network-id', '1', '--bus', 'embedded', '--listen', this.at('link'), '--api', this.at('a.api'), '--web', this.at('a.web')], /limpetd is running/);
  }

  // startB has its page where nobody knows who looks.
  async startB() {
    writeFileSync(this.at('b.yaml'), `network-id: 2\nbus: embedded\nlinks:\n  - connect: ${this.at('link')}\n    name: '${hostile}'\n`);
    this.b = await this.run('limpetd', ['--config', this.at('b.yaml'), '--api', this.at('b.api'), '--web', '127.0.0.1:0'], /page over HTTP.* address=(\S+)[^]*limpetd is running/);
    this.pageB = `http://${this.b.found[1]}/`;
  }

  // forward leads a port of this machine to a Unix socket, as ssh -L does.
  forward(file) {
    return new Promise((resolve) => {
      const server = net.createServer((c) => {
        const to = net.connect(this.at(file));
        c.pipe(to).pipe(c);
        for (const x of [c, to]) x.on('error', () => { c.destroy(); to.destroy(); });
      });
      this.forwarders.push(server);
      server.listen(0, '127.0.0.1', () => resolve(`http://localhost:${server.address().port}/`));
    });
  }

  async start() {
    this.a = await this.startA();
    await this.startB();
    this.pageA = await this.forward('a.web');
    const ctl = (args, said) => this.run('limpetctl', [...args, '--api', this.at('b.api')], said);
    ctl(['reply', '$.Clock.*', 'noon'], /$^/).catch(() => {});
    ctl(['reply', '$.Thinker', '--command', 'sleep 60'], /$^/).catch(() => {});
    ctl(['listen', '$.Weather.*', '--format', 'json'], /$^/).catch(() => {});
    await this.until(async () => {
      const found = await this.call('BusService/ListBindings', {});
      return ['$.Clock.*', '$.Thinker'].every((name) => found.bindings?.some((b) => b.name === name));
    });
    this.call('BusService/Call', {name: '$.Thinker'}).catch(() => {});
    this.traffic();
  }

  // call calls a method of A.
  call(method, request) {
    return new Promise((resolve, reject) => {
      const r = http.request({socketPath: this.at('a.web'), host: 'localhost', path: '/kbus.limpet.v1.' + method, method: 'POST', headers: {'content-type': 'application/json'}}, (answer) => {
        let text = '';
        answer.on('data', (d) => { text += d; });
        answer.on('end', () => answer.statusCode === 200 ? resolve(JSON.parse(text)) : reject(new Error(text)));
        answer.on('error', reject);
      });
      r.on('error', reject);
      r.end(JSON.stringify(request));
    });
  }

  // traffic goes on until stop.
  traffic() {
    let n = 0;
    this.pace = setInterval(() => {
      n++;
      this.call('BusService/Send', {name: ['$.Weather.Rain', '$.Weather.Wind', '$.Weather.Sun'][n % 3], data_text: 'from noon'}).catch(() => {});
      if (n % 3 === 0) this.call('BusService/Call', {name: '$.Clock.Now'}).catch(() => {});
    }, 40);
  }

  async until(is) {
    for (let i = 0; i < 600; i++) {
      if (await is().catch(() => false)) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error('a minute later it is not so');
  }

  async end(p) {
    for (const pipe of [p.stdout, p.stderr]) pipe.destroy(); // a command of a replier has them too
    if (p.exitCode !== null || p.signalCode !== null) return;
    const late = setTimeout(() => p.kill('SIGKILL'), 15_000);
    await new Promise((resolve) => {
      p.on('exit', resolve);
      p.kill();
    });
    clearTimeout(late);
  }

  async stop() {
    clearInterval(this.pace);
    for (const f of this.forwarders) f.close();
    await Promise.all([...this.all].map((p) => this.end(p)));
    rmSync(this.dir, {recursive: true, force: true});
  }
}
