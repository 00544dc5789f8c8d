// The protocol as someone would write it with Node.js and `ws` (Debian: node-ws), for scripts/bench: the upgrade, tokens
// (HS256 and `exp`; no database), ping -> pong, transient events to everybody of the restaurant, stringified once.
//
//     FYNLO_JWT_SECRET=… NODE_PATH=/usr/share/nodejs node server.js 8020

'use strict';

const { createHmac, randomBytes, timingSafeEqual } = require('crypto');
const { createServer } = require('http');
const { WebSocketServer } = require('ws');

const secret = process.env.FYNLO_JWT_SECRET;
const node = randomBytes(8).toString('hex');
const path = /^\/api\/v1\/websocket\/ws\/(?:pos|kitchen|management|platform)\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/i;
const transient = new Set([
  'kitchen.item_started', 'kitchen.item_ready', 'kitchen.order_ready',
  'table.occupied', 'table.available', 'table.reserved', 'table.cleaned',
]);
const restaurants = new Map(); // of Sets of WebSockets
let connections = 0;
let messages = 0;

/** The claims of a good token, else null. */
function verify(token) {
  const parts = typeof token === 'string' ? token.split('.') : [];
  if (parts.length !== 3) return null;
  const mac = createHmac('sha256', secret).update(`${parts[0]}.${parts[1]}`).digest();
  const signature = Buffer.from(parts[2], 'base64url');
  if (signature.length !== mac.length || !timingSafeEqual(signature, mac)) return null;
  try {
    if (JSON.parse(Buffer.from(parts[0], 'base64url')).alg !== 'HS256') return null;
    const claims = JSON.parse(Buffer.from(parts[1], 'base64url'));
    return claims.sub && claims.exp > Date.now() / 1000 ? claims : null;
  } catch {
    return null;
  }
}

function envelope(socket, type, data, more) {
  return JSON.stringify({
    id: `${node}-${++messages}`, type, data, restaurant_id: socket.restaurant,
    timestamp: new Date().toISOString(), ...more,
  });
}

function refuse(socket, error, code, reason, closeCode) {
  socket.send(envelope(socket, 'auth_error', { error, code, retryable: false }));
  socket.close(closeCode, reason);
}

function authenticate(socket, message) {
  if (message?.type !== 'authenticate') {
    return refuse(
      socket, 'First message must be authentication', 'authentication_required', 'Authentication required', 4001);
  }
  const { token, user_id: user, restaurant_id: restaurant } = { ...message, ...message.data };
  if (!token || !user || !restaurant) {
    return refuse(socket, 'Missing authentication data', 'missing_authentication_data', 'Authentication failed', 4003);
  }
  const claims = verify(token);
  if (!claims) return refuse(socket, 'Invalid authentication token', 'invalid_token', 'Authentication failed', 4003);
  if (restaurant.toLowerCase() !== socket.restaurant) {
    return refuse(socket, 'Access denied to this restaurant', 'access_denied', 'Authentication failed', 4003);
  }
  socket.user = user;
  const members = restaurants.get(restaurant) ?? new Set();
  restaurants.set(restaurant, members.add(socket));
  socket.send(envelope(socket, 'authenticated', {
    user_id: user, restaurant_id: restaurant, connection_id: `${node}-${++connections}`, role: 'employee', seq: 0,
    heartbeat_interval_ms: 15000, token_expires_at: new Date(claims.exp * 1000).toISOString(), resumed: false,
  }));
}

function receive(socket, bytes, isBinary) {
  if (isBinary) return socket.close(1003);
  let message;
  try {
    message = JSON.parse(bytes);
  } catch {
    message = null;
  }
  if (!socket.user) return authenticate(socket, message);
  if (message?.type === 'ping') {
    socket.send(envelope(socket, 'pong', { timestamp: new Date().toISOString(), echo: message.data }));
  } else if (transient.has(message?.type) && message.data) {
    const event = Buffer.from(envelope(socket, message.type, message.data, { user_id: socket.user }));
    for (const member of restaurants.get(socket.restaurant)) {
      if (member.bufferedAmount > 1 << 20) member.close(4010);
      else member.send(event, { binary: false });
    }
  } else if (message?.type !== 'pong') {
    const code = message ? 'unknown_type' : 'invalid_message';
    socket.send(envelope(socket, 'error', { code, error: 'This is not understood.' }));
  }
}

const sockets = new WebSocketServer({
  noServer: true, maxPayload: 65536, clientTracking: false,
  handleProtocols: (offered) => offered.has('fynlo.v1') && 'fynlo.v1',
});
const server = createServer((request, response) => response.writeHead(404).end());

server.on('upgrade', (request, stream, head) => {
  const match = path.exec(request.url);
  if (!match) return stream.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n');
  sockets.handleUpgrade(request, stream, head, (socket) => {
    socket.restaurant = match[1].toLowerCase();
    socket.on('message', (bytes, isBinary) => receive(socket, bytes, isBinary));
    socket.on('error', () => {});
    socket.on('close', () => {
      const members = restaurants.get(socket.restaurant);
      if (members?.delete(socket) && members.size === 0) restaurants.delete(socket.restaurant);
    });
  });
});
server.listen({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096 });
