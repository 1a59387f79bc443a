import { chromium, type Browser, type Page } from 'playwright-core';
import type { ServerEvent } from './server-events.js';

/** Debian's; npm run setup -- test sees to it. */
const executablePath = '/usr/bin/chromium';
/** A bound on hanging: two busy processors are slow to start a browser and to draw a page. */
const patienceMs = 120_000;

/** A page of a browser of its own. */
export async function newPage(): Promise<{ browser: Browser; page: Page }> {
  const browser = await chromium.launch({ executablePath, timeout: patienceMs });
  const page = await browser.newPage();
  page.setDefaultTimeout(patienceMs);
  return { browser, page };
}

/** Resolves when an EventSource is connected; `followed` resolves when it connects no more: it is told to stop by 204 only. */
const follow = `(link) => new Promise((opened) => {
  const events = [];
  const source = new EventSource(link);
  source.addEventListener('open', opened);
  for (const name of ['queued', 'started', 'progress', 'preview', 'completed', 'failed', 'cancelled'])
    source.addEventListener(name, ({ lastEventId, data }) => events.push({ id: Number(lastEventId), name, data: JSON.parse(data) }));
  globalThis.followed = new Promise((stopped) => {
    source.addEventListener('error', () => source.readyState === EventSource.CLOSED && stopped(events));
  });
}).then(() => null)`;

const show = `(link) => new Promise((resolve) => {
  const image = new Image();
  image.addEventListener('load', () => resolve({ width: image.naturalWidth, height: image.naturalHeight }));
  image.addEventListener('error', () => resolve(null));
  image.src = link;
})`;

/** A page of the service itself, in a browser. */
export class BrowserPage {
  private constructor(
    private readonly browser: Browser,
    private readonly page: Page,
  ) {}

  static async open(url: string): Promise<BrowserPage> {
    const { browser, page } = await newPage();
    await page.goto(url);
    return new BrowserPage(browser, page);
  }

  /** Connects an EventSource; gives what it gets until it stops for good. */
  async follow(link: string): Promise<() => Promise<ServerEvent[]>> {
    await this.page.evaluate(`(${follow})(${JSON.stringify(link)})`);
    return () => this.page.evaluate<ServerEvent[]>('followed');
  }

  /** The size of an <img> with this source; null when it cannot be shown. */
  show(link: string): Promise<{ width: number; height: number } | null> {
    return this.page.evaluate(`(${show})(${JSON.stringify(link)})`);
  }

  close(): Promise<void> {
    return this.browser.close();
  }
}
