// Listens for HEP on 127.0.0.1 and writes the fields that hep-js read to a file: a line per packet, each field as
// name=hex. Usage: node hepjs.js PORT FILE, with hep-js in NODE_PATH.
'use strict';
const dgram = require('dgram');
const fs = require('fs');
const hep = require('hep-js');

const [port, file] = process.argv.slice(2);
const out = fs.openSync(file, 'a');

// Genesys' conversation id, so that a chunk of a vendor is read, too.
hep.addVendorExtensions({ 8: { 128: { keyName: 'conversation_id' } } });

const socket = dgram.createSocket({ type: 'udp4', recvBufferSize: 1 << 20 });
socket.on('message', (packet) => {
  const read = hep.decapsulate(packet);
  if (!read || !read.rcinfo) return;
  const facts = Object.entries(Object.assign({}, read.rcinfo, { payload: read.payload }));
  const line = facts
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${Buffer.from(String(value)).toString('hex')}`);
  fs.writeSync(out, `${line.join(' ')}\n`);
});
socket.bind(Number(port), '127.0.0.1');
