const { EngineClient } = require('/work/main/dist/libs/engine/src/index.js');
const log = { log: (l, m, f) => console.log(l, m, JSON.stringify(f ?? {})) };
const c = new EngineClient({ host: { path: '/work/main/dist/apps/engine-host/src/main.js' }, folder: '/work/main/models/demo', specialTokens: 'allow',
  load: { device: 'cpu', dtype: 'auto', threads: 'auto', residency: 'resident', vaeTiling: 'auto', memoryBudget: null } }, log);
const t0 = Date.now();
const ready = () => new Promise(r => { const off = c.onChange(s => { console.log(Date.now()-t0, s.state, s.retryAfterS, s.error); if (s.state === 'ready') { off(); r(s); } }); });
const req = { prompt: 'a red circle on a blue background', negativePrompt: ' ', width: 256, height: 256, numInferenceSteps: 20, trueCfgScale: 4, seed: 1, numImages: 1, maxSequenceLength: 512 };
(async () => {
  c.start(); console.log(await ready());
  let n = 0; const r = await c.generate('a', req, { onProgress: () => n++ }); console.log(n, r.images[0].data.length, r.timings, r.images[0].data.constructor.name);
  require('sharp')(r.images[0].data, { raw: { width: 256, height: 256, channels: 3 } }).png().toFile('/tmp/w/stub/a.png');
  const ac = new AbortController(); 
  console.log(await c.generate('b', req, { signal: ac.signal, onProgress: p => p.step === 3 && ac.abort() }).catch(e => [e.code, e.message]));
  await c.stop(3000); console.log('stopped', Date.now()-t0);
})();
