import type { ConfigFault } from './config.error.js';
import { checkText, type Checked, type SettingValue } from './setting-value.js';
import type { Setting } from './settings.js';

export interface Entry {
  value: SettingValue;
  origin: string;
}

/** What one source (a file, the environment, the command line) sets, and what is wrong with it. */
export class ConfigSource {
  readonly entries = new Map<string, Entry>();
  readonly faults: ConfigFault[] = [];

  set({ key }: Setting, checked: Checked, origin: string): void {
    if (checked.ok) this.entries.set(key, { value: checked.value, origin });
    else this.fault(key, origin, checked.message);
  }

  setText(setting: Setting, text: string, origin: string): void {
    this.set(setting, checkText(setting, text), origin);
  }

  fault(key: string, origin: string, message: string): void {
    this.faults.push({ key, origin, message });
  }
}
