/** What all jobs take together, kept as it changes: with many jobs a sum over them would cost each new one. */
export class StoreUsage {
  /** Of the files. */
  files = 0;
  /** Kept free for what is still to come. */
  reserved = 0;

  get total(): number {
    return this.files + this.reserved;
  }
}
