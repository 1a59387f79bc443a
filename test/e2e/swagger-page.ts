import type { Browser, Locator, Page } from 'playwright-core';
import { newPage } from './browser.js';

/** The page breaks paths where they may be wrapped, by spaces of no width. */
const listed = `[...document.querySelectorAll('.opblock')].map((block) => ['method', 'path']
  .map((part) => block.querySelector('.opblock-summary-' + part).textContent.replaceAll('\\u200b', '').trim()).join(' '))`;

const naturalSize = `(image) => image.decode().then(() => ({ width: image.naturalWidth, height: image.naturalHeight }))`;

export interface Shown {
  /** As the page shows it. */
  status: number;
  operation: Locator;
}

/** GET /docs in a browser, used as a person uses it. */
export class SwaggerPage {
  /** What the console has complained of: errors of scripts, refusals of the Content-Security-Policy, answers of 400 and more. */
  readonly complaints: { text: string; url: string }[] = [];

  private unfolded: Locator | null = null;

  private constructor(
    private readonly browser: Browser,
    private readonly page: Page,
  ) {
    page.on('console', (message) => {
      const isComplaint = ['error', 'warning'].includes(message.type());
      if (isComplaint) this.complaints.push({ text: message.text(), url: message.location().url });
    });
    page.on('pageerror', (error) => this.complaints.push({ text: String(error), url: '' }));
  }

  static async open(url: string): Promise<SwaggerPage> {
    const { browser, page } = await newPage();
    const swagger = new SwaggerPage(browser, page);
    await swagger.page.goto(`${url}/docs`);
    await swagger.page.locator('.opblock').first().waitFor();
    return swagger;
  }

  /** Every operation that is listed: POST /text-to-image */
  async listed(): Promise<string[]> {
    const texts = await this.page.evaluate<string[]>(listed);
    return texts.sort();
  }

  /** Of those that the page offers; the first is chosen until another one is. */
  async chooseServer(url: string): Promise<void> {
    await this.page.locator('.servers select').selectOption(url);
  }

  /** Unfolds it, "Try it out", fills in what is asked for, "Execute". */
  async execute(id: string, fill: (operation: Locator) => Promise<unknown> = () => Promise.resolve()): Promise<Shown> {
    // A page with many answers unfolded is slow to draw.
    await this.unfolded?.locator('.opblock-summary-control').click();
    const operation = this.page.locator(`[id="operations-${id}"]`);
    this.unfolded = operation;
    await operation.locator('.opblock-summary-control').click();
    await operation.locator('.try-out__btn').click();
    await fill(operation);
    await operation.locator('.execute').click();
    const status = operation.locator('.live-responses-table .response-col_status').last();
    await status.filter({ hasText: /\d{3}/ }).waitFor();
    return { status: Number(/\d{3}/.exec(await status.innerText())?.[0]), operation };
  }

  /** Of the picture that an answer shows. */
  async pictureSize(operation: Locator): Promise<{ width: number; height: number }> {
    const source = await operation.locator('.live-responses-table img').getAttribute('src');
    return this.page.evaluate(`(${naturalSize})(document.querySelector('img[src=${JSON.stringify(source)}]'))`);
  }

  close(): Promise<void> {
    return this.browser.close();
  }
}
