import { configTokens, type LimitsConfig } from '@app/config';
import { EngineClient, type ModelInfo } from '@app/engine';
import { engineUnavailable, type FieldFault } from '@app/inference';
import { Inject, Injectable, type ArgumentMetadata, type PipeTransform, type Type } from '@nestjs/common';
import { validate } from 'class-validator';
import { fieldsOf, setContext } from '../fields/field.decorator.js';
import { formValue } from '../fields/form-values.js';
import { invalidFields } from '../fields/invalid-fields.js';
import { unknownFieldFault } from '../fields/unknown-fields.js';
import { readAccept } from './accept.js';
import { SentFields } from './sent-fields.js';

/** An answer that lists what is wrong must not be larger than what was sent: a form may have no more fields either. */
const maxFields = 64;
const maxNameLength = 100;

/** Nest's ValidationPipe in strictness (only known fields, nothing converted by guess), with all faults of a request in one answer. */
@Injectable()
export class GenerationFieldsPipe implements PipeTransform {
  constructor(
    private readonly engine: EngineClient,
    @Inject(configTokens.limits) private readonly limits: LimitsConfig,
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
    const faults: FieldFault[] = [...sent.fileFaults];
    for (const [name, given] of Object.entries(values)) {
      const rule = fields.get(name)?.rule;
      if (!rule) faults.push({ field: shortened(name), message: unknownFieldFault(name) });
      else if (sent.encoding === 'form' && Array.isArray(given)) faults.push({ field: name, message: 'was sent more than once' });
      else Object.assign(dto, { [name]: sent.encoding === 'form' ? formValue(given, rule.kind) : (given as unknown) });
    }
    const repeated = new Set(faults.map(({ field }) => field));
    faults.push(...(await this.ruleFaults(dto, sent)).filter(({ field }) => !repeated.has(field)));
    if (faults.length > 0) throw invalidFields(faults);
    return dto;
  }

  private async ruleFaults(dto: object, { accept }: SentFields): Promise<FieldFault[]> {
    const { form, format } = readAccept(accept);
    setContext(dto, { limits: this.limits, model: this.model(), answer: { bytes: form === 'bytes', format } });
    const errors = await validate(dto, { forbidUnknownValues: true });
    return errors.map(({ property, constraints = {} }) => ({ field: property, message: Object.values(constraints).join(', ') }));
  }

  private model(): ModelInfo {
    const status = this.engine.status();
    if (!status.model) throw engineUnavailable(status);
    return status.model;
  }
}

function shortened(name: string): string {
  return name.length > maxNameLength ? `${name.slice(0, maxNameLength)}…` : name;
}
