// Preloaded into a server: SIGTERM comes at a moment of its start that nothing tells outside. STOP_AT=modules|listen
const Module = require('node:module');
const net = require('node:net');

function stop() {
  process.kill(process.pid, 'SIGTERM');
}

if (process.env.STOP_AT === 'modules') {
  const load = Module._load;
  Module._load = (request, ...rest) => {
    if (request === '@nestjs/core') stop();
    return load(request, ...rest);
  };
} else {
  const { listen } = net.Server.prototype;
  net.Server.prototype.listen = function (...where) {
    stop();
    return listen.apply(this, where);
  };
}
