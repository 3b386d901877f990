// SPDX-License-Identifier: Apache-2.0
// A TLS server that speaks HTTP/2 alone: node h2_server.js PORT LOG CERTIFICATE KEY TOGETHER
// /status/CODE gets a response at once, /together/CODE when TOGETHER streams wait for one. A line of the log has the
// connection's number behind code and method.
const fs = require('fs');
const http2 = require('http2');

const [port, file, certificate, key, together] = process.argv.slice(2);
const log = fs.openSync(file, 'a');
const connections = new Map();
let waiting = [];

const server = http2.createSecureServer({
  cert: fs.readFileSync(certificate), key: fs.readFileSync(key), settings: { maxConcurrentStreams: 2 * Number(together) },
});
server.on('session', (session) => connections.set(session, connections.size));
server.on('stream', (stream, headers) => {
  const [, how, code] = /^\/(status|together)\/(\d{3})$/.exec(headers[':path']) || [null, 'status', '404'];
  const respond = () => {
    fs.writeSync(log, `${code} ${headers[':method']} ${connections.get(stream.session)}\n`);
    stream.respond({ ':status': Number(code) });
    stream.end();
  };
  if (how === 'status') return respond();
  waiting.push(respond);
  if (waiting.length === Number(together)) waiting.splice(0).forEach((one) => one());
});
server.listen(Number(port), '127.0.0.1');
