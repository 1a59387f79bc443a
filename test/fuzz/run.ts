import fc, { type Arbitrary } from 'fast-check';
import { eventually, type Server } from '../e2e/server.js';
import { ApiDocument } from './document.js';
import { ledgerOf } from './ledger.js';
import { residenceOf, type Residence } from './residence.js';
import { makePictures, type Pictures } from './pictures.js';
import { RawRequest, rawRequests } from './raw-requests.js';
import { type FuzzRequest, requests } from './requests.js';
import { faultsOf, rawFaults } from './verdict.js';
import { Wire } from './wire.js';

/** Requests that are on their way at once. */
const lanes = 8;
/** After each round everything must come to rest. */
const roundRequests = 240;

/** Generated requests against one server, the same ones for the same seed. */
export class FuzzRun {
  /** How often which status came. */
  readonly answers = new Map<string, number>();
  private readonly wire: Wire;
  private readonly anyRequest: Arbitrary<FuzzRequest | RawRequest>;
  private rounds = 0;

  private constructor(
    private readonly server: Server,
    private readonly document: ApiDocument,
    pictures: Pictures,
    private readonly seed: number,
    private readonly secret: string | null,
  ) {
    this.wire = new Wire(server.port, lanes, this.keyHeader());
    this.anyRequest = fc.oneof({ weight: 15, arbitrary: requests(document, pictures) }, { weight: 1, arbitrary: rawRequests });
  }

  /** @param secret goes with every request that brings no key of its own */
  static async of(server: Server, seed: number, secret: string | null): Promise<FuzzRun> {
    const document = new ApiDocument(await (await fetch(`${server.url}/openapi.json`)).text());
    return new FuzzRun(server, document, await makePictures(), seed, secret);
  }

  /** Sends `count` requests, in rounds; throws with the smallest request that shows the first fault. */
  async send(count: number): Promise<void> {
    for (let left = count; left > 0; left -= roundRequests) {
      const size = Math.min(left, roundRequests);
      const seeds = Array.from({ length: lanes }, (_, lane) => this.seed + this.rounds * lanes + lane);
      const ends = await Promise.allSettled(seeds.map((seed) => this.sendLane(seed, Math.ceil(size / lanes))));
      const [failed] = ends.filter((end) => end.status === 'rejected');
      if (failed) throw failed.reason;
      await this.atRest();
      this.rounds += 1;
    }
  }

  /** One counterexample again: `path` is what fast-check printed beside its seed. */
  async replay(path: string): Promise<void> {
    await this.sendLane(this.seed, 1, path);
    await this.atRest();
  }

  /** What the service's two processes hold when all is quiet and every connection of this run is closed. */
  async residence(): Promise<Record<'api' | 'host', Residence>> {
    this.wire.close();
    return { api: await residenceOf(this.server.pid), host: await residenceOf(this.server.hostPid()) };
  }

  close(): void {
    this.wire.close();
  }

  private async sendLane(seed: number, numRuns: number, path?: string): Promise<void> {
    const property = fc.asyncProperty(this.anyRequest, (request) => this.tryOne(request));
    const details = await fc.check(property, { seed, numRuns, ...(path === undefined ? {} : { path }) });
    if (!details.failed) return;
    const again = `QWEN_FUZZ_SEED=${seed} QWEN_FUZZ_PATH=${details.counterexamplePath} npm run test:fuzz`;
    const reason = details.errorInstance instanceof Error ? details.errorInstance.message : String(details.errorInstance);
    throw new Error(`${reason}\n\n${fc.defaultReportMessage(details)}\n\nTo send it again: ${again}`);
  }

  private async tryOne(request: FuzzRequest | RawRequest): Promise<void> {
    if (request instanceof RawRequest) {
      this.count('raw');
      refuse(rawFaults(await this.wire.sendRaw(request)));
      return;
    }
    const answer = await this.wire.send(request);
    this.count(answer === null ? 'given up' : String(answer.status));
    refuse(faultsOf(this.document, request, answer));
  }

  private keyHeader(): Record<string, string> {
    return this.secret === null ? {} : { 'x-api-key': this.secret };
  }

  private get(path: string): Promise<Response> {
    return fetch(`${this.server.url}${path}`, { headers: this.keyHeader() });
  }

  private count(status: string): void {
    this.answers.set(status, (this.answers.get(status) ?? 0) + 1);
  }

  /** What was given up is cancelled, what was accepted has ended, the service is well, and its log knows of no fault of its own. */
  private async atRest(): Promise<void> {
    let ledger = ledgerOf('');
    await eventually('the queue is empty', async () => {
      ledger = ledgerOf(await (await this.get('/metrics')).text());
      refuse(ledger.faults);
      return ledger.pending + ledger.running === 0;
    });
    const health = await this.get('/health');
    refuse(health.status === 200 ? [] : [`/health is ${health.status}: ${await health.text()}`]);
    // Whoever has gone gets no answer: what he would have been told is in the log alone.
    refuse(this.server.log.filter(({ message }) => message.startsWith('INTERNAL')).map((record) => JSON.stringify(record)));
  }
}

function refuse(faults: readonly string[]): void {
  if (faults.length > 0) throw new Error(faults.join('\n'));
}
