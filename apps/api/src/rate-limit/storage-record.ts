import type { ThrottlerStorage } from '@nestjs/throttler';

/** ThrottlerStorage's own record type is also a value; this is its shape. Its times are in seconds. */
export type StorageRecord = Awaited<ReturnType<ThrottlerStorage['increment']>>;
