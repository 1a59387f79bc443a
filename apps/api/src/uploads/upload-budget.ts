import { configTokens, type LimitsConfig } from '@app/config';
import { ServiceError } from '@app/inference';
import { Inject, Injectable } from '@nestjs/common';
import type { Request } from 'express';

/** What one upload holds of the budget. */
export interface UploadShare {
  /** @throws ServiceError QUEUE_FULL: so much more is not left, and nothing was taken */
  grow(bytes: number): void;
  /** Gives all of it back, for good: what came in afterwards is not kept. Twice is fine. */
  release(): void;
}

/** Room is made by uploads that pass, in seconds, and not by the queue: its estimate would tell nothing here. */
const retryAfterS = 5;

/** Bytes of uploads that are in memory, over all requests together: however many come at once, they do not fill it. */
@Injectable()
export class UploadBudget {
  readonly total: number;
  private heldBytes = 0;
  private readonly shares = new WeakMap<Request, UploadShare>();

  constructor(@Inject(configTokens.limits) { uploadBytesInFlight }: Pick<LimitsConfig, 'uploadBytesInFlight'>) {
    this.total = uploadBytesInFlight;
  }

  get held(): number {
    return this.heldBytes;
  }

  /** An empty share for what a request brings. */
  open(request: Request): UploadShare {
    let own = 0;
    let isOpen = true;
    const share: UploadShare = {
      grow: (bytes) => {
        if (!isOpen) return;
        this.take(bytes);
        own += bytes;
      },
      release: () => {
        this.heldBytes -= own;
        own = 0;
        isOpen = false;
      },
    };
    this.shares.set(request, share);
    return share;
  }

  /** What the request brought is in memory no more. Twice is fine. */
  release(request: Request): void {
    this.shares.get(request)?.release();
  }

  private take(bytes: number): void {
    if (this.heldBytes + bytes > this.total) {
      const message = `uploads hold ${this.heldBytes} bytes, at most ${this.total} may be in memory at one time`;
      throw new ServiceError('QUEUE_FULL', message, { retryAfterS });
    }
    this.heldBytes += bytes;
  }
}
