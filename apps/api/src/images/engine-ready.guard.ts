import { InferenceService } from '@app/inference';
import { Injectable, type CanActivate } from '@nestjs/common';

/** Answers at once, before a body is taken in, when nothing could be drawn anyway. */
@Injectable()
export class EngineReadyGuard implements CanActivate {
  constructor(private readonly inference: InferenceService) {}

  canActivate(): boolean {
    this.inference.assertAvailable();
    return true;
  }
}
