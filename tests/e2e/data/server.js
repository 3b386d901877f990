// SPDX-License-Identifier: Apache-2.0
// Node's HTTP server as one of the servers behind Traefik: node server.js PORT LOG
const fs = require('fs');
const http = require('http');

const [port, file] = process.argv.slice(2);
const log = fs.openSync(file, 'a');

const server = http.createServer((request, response) => {
  request.socket.asked = request;
  const code = Number((/^\/(?:status|read)\/(\d{3})$/.exec(request.url) || [0, 404])[1]);
  const respond = () => {
    fs.writeSync(log, `${code} ${request.method}\n`);
    response.writeHead(code).end(code === 204 ? undefined : 'HTTP/1.1 500 No\r\n\r\n');
  };
  if (request.url.startsWith('/read/')) request.on('end', respond).resume();
  else respond();
});
// Without a listener node would hang where the next request on the connection is a bad one.
server.on('upgrade', (request, socket) => {
  fs.writeSync(log, `403 ${request.method}\n`);
  socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
});
server.on('clientError', (error, socket) => {
  // In the body of a request that has its response already, another one would be nobody's.
  if (error.code === 'ECONNRESET' || !socket.writable || (socket.asked && !socket.asked.complete)) return socket.destroy();
  const code = error.code === 'HPE_HEADER_OVERFLOW' ? 431 : 400;
  fs.writeSync(log, `${code} -\n`);
  socket.end(`HTTP/1.1 ${code} Bad\r\nConnection: close\r\n\r\n`);
});
server.keepAliveTimeout = server.headersTimeout = server.requestTimeout = 0;
server.listen(Number(port), '127.0.0.1');
