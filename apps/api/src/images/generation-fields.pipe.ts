import { configTokens, type LimitsConfig, type QueueConfig } from '@app/config';
import { EngineClient } from '@app/engine';
import type { FieldFault } from '@app/inference';
import { Inject, Injectable, type ArgumentMetadata, type PipeTransform, type Type } from '@nestjs/common';
import { validate } from 'class-validator';
import { fieldsOf, setContext } from '../fields/field.decorator.js';
import type { FieldKind } from '../fields/field-rules.js';
import { formValue } from '../fields/form-values.js';
import { invalidFields } from '../fields/invalid-fields.js';
import { losesDigits } from '../fields/json-source.js';
import { nameToShow, repeatedFault } from '../fields/names.js';
import { unknownFieldFault } from '../fields/unknown-fields.js';
import { impliedFormat } from './call.js';
import { SentFields } from './sent-fields.js';

/** An answer that lists what is wrong must not be larger than what was sent: a form may have no more fields either. */
const maxFields = 64;

/** Nest's ValidationPipe in strictness (only known fields, nothing converted by guess), with all faults of a request in one answer. */
@Injectable()
export class GenerationFieldsPipe implements PipeTransform {
  constructor(
    private readonly engine: EngineClient,
    @Inject(configTokens.limits) private readonly limits: LimitsConfig,
    @Inject(configTokens.queue) private readonly queue: Pick<QueueConfig, 'timeoutMs'>,
  ) {}

  transform(value: unknown, { metatype }: ArgumentMetadata): unknown {
    return value instanceof SentFields && metatype ? this.validate(value, metatype as Type<object>) : value;
  }

  private async validate(sent: SentFields, Dto: Type<object>): Promise<object> {
    const { values } = sent;
    if (typeof values !== 'object' || values === null || Array.isArray(values)) {
      throw invalidFields([{ field: 'body', message: 'must be a JSON object' }]);
    }
    const count = Object.keys(values).length;
    if (count > maxFields) {
      throw invalidFields([{ field: 'body', message: `must have at most ${maxFields} fields, got ${count}` }]);
    }
    const fields = fieldsOf(Dto);
    const dto = new Dto();
    // One fault a field, the first that is found.
    const faults = new Map([...sent.call.faults, ...sent.fileFaults].map(({ field, message }) => [field, message]));
    const tell = (field: string, message: string) => faults.has(field) || faults.set(field, message);
    for (const [name, given] of Object.entries(values)) {
      const rule = fields.get(name)?.rule;
      const unreadable = textFault(given, sent);
      if (!rule) tell(nameToShow(name), unknownFieldFault(name));
      else if (isRepeated(name, given, sent)) tell(name, repeatedFault);
      else if (unreadable !== null) tell(name, unreadable);
      else Object.assign(dto, { [name]: valueOf(name, given, rule.kind, sent) });
    }
    for (const { field, message } of await this.ruleFaults(dto, sent)) tell(field, message);
    if (faults.size > 0) throw invalidFields([...faults].map(([field, message]) => ({ field, message })));
    return dto;
  }

  private async ruleFaults(dto: object, { call }: SentFields): Promise<FieldFault[]> {
    const { limits, queue } = this;
    const answer = { bytes: call.wish.form === 'bytes' && !call.async, format: impliedFormat(call) };
    setContext(dto, {
      limits,
      queue,
      model: this.engine.status().model,
      answer,
      async: call.async || call.idempotencyKey !== null,
    });
    const errors = await validate(dto, { forbidUnknownValues: true });
    return errors.map(({ property, constraints = {} }) => ({ field: property, message: Object.values(constraints).join(', ') }));
  }
}

function isRepeated(name: string, given: unknown, { encoding, source }: SentFields): boolean {
  return encoding === 'form' ? Array.isArray(given) : (source?.repeated.has(name) ?? false);
}

/** What is wrong with a form's text before its value is; JSON whose bytes are no text is refused by its parser. */
function textFault(given: unknown, { encoding }: SentFields): string | null {
  if (encoding !== 'form') return null;
  // What the parser of forms makes of a charset that it does not know, and of bytes that are no text: it keeps no bytes.
  if (given === undefined) return 'must be UTF-8: its part of the form names a charset that is not known here';
  const isSure = typeof given !== 'string' || !given.includes('\ufffd');
  return isSure ? null : 'must be UTF-8 without U+FFFD, which in a form looks like bytes that are not UTF-8';
}

function valueOf(name: string, given: unknown, kind: FieldKind, { encoding, source }: SentFields): unknown {
  if (encoding === 'form') return formValue(given, kind);
  // No integer at all, so that no rounded value is taken or shown.
  return kind === 'integer' && losesDigits(source?.numbers.get(name) ?? '') ? NaN : given;
}
