import { refusedTokenFault } from '@app/engine';
import { imageFormats, type ImageFormat } from '@app/image-processing';
import { also, boolean, choice, got, integer, number, text, type ExtraRule, type FieldRule } from '../fields/field-rules.js';
import { Field } from '../fields/field.decorator.js';

const multipleOfModels: ExtraRule<number> = {
  check: (value, { model }) =>
    !model || value % model.sizeMultiple === 0 ? null : `must be a multiple of ${model.sizeMultiple}${got(value)}`,
  schema: ({ model }) => (model ? { multipleOf: model.sizeMultiple } : {}),
};

const withinPixels: ExtraRule<number> = {
  check: (width, { limits: { maxPixels } }, { height }) =>
    typeof height === 'number' && width * height > maxPixels
      ? `times height must be at most ${maxPixels} pixels, got ${width}x${height} = ${width * height}`
      : null,
};

const withoutRefusedTokens: ExtraRule<string> = {
  check: (prompt, { model }) => model && refusedTokenFault(prompt, model.refusedTokens),
};

const fromModelsMinimum = integer(
  ({ model }) => model?.minSteps ?? 1,
  ({ limits }) => limits.maxSteps,
);

/** One step is a sensible wish, so it is told why the model has none. */
const steps: FieldRule = {
  ...fromModelsMinimum,
  check: (value, context, fields) =>
    value === 1 && context.model && context.model.minSteps > 1
      ? `must be at least ${context.model.minSteps}: the model's scheduler (shift_terminal) cannot do 1`
      : fromModelsMinimum.check(value, context, fields),
};

const oneWhenBytes: ExtraRule<number> = {
  check: (count, { answer }) =>
    answer.bytes && count > 1 ? `must be 1 when Accept asks for image bytes; application/json can hold ${count}` : null,
};

const notForPng: ExtraRule<number> = {
  check: (_quality, { answer }, { output_format: format = answer.format }) =>
    format === 'png' ? 'is for jpeg and webp: png keeps every pixel' : null,
};

const onlyAsync: ExtraRule<number> = {
  check: (count, { async }) =>
    count > 0 && !async
      ? 'must be 0 without Prefer: respond-async or an Idempotency-Key: they are events of a job that is not waited for'
      : null,
};

const side = (): ReturnType<typeof integer> =>
  also(
    integer(
      ({ limits }) => limits.minSide,
      ({ limits }) => limits.maxSide,
    ),
    multipleOfModels,
  );

const promptText = (minChars: number) => text(minChars, ({ limits }) => limits.maxPromptChars);

/** The last image's seed is the largest: seed + num_images - 1. */
function maxSeed(numImages: unknown): number {
  const count = Number.isSafeInteger(numImages) && Number(numImages) > 0 ? Number(numImages) : 1;
  return Number.MAX_SAFE_INTEGER - (count - 1);
}

/** Body of POST /text-to-image. Names are diffusers' own. */
export class TextToImageDto {
  @Field(
    { rule: also(promptText(1), withoutRefusedTokens), required: true },
    { type: String, example: 'a red circle on a blue background' },
  )
  prompt: string;

  @Field(
    { rule: also(promptText(0), withoutRefusedTokens) },
    { type: String, description: "default: the model's; a single space when it has none" },
  )
  negative_prompt?: string;

  @Field(
    { rule: also(side(), withinPixels), pairedWith: 'height' },
    {
      type: 'integer',
      description: "with height or not at all; without both the model's size, on /image-to-image the picture's own",
    },
  )
  width?: number;

  @Field({ rule: side(), pairedWith: 'width' }, { type: 'integer', description: 'with width or not at all' })
  height?: number;

  @Field({ rule: steps }, { type: 'integer', description: "default: the model's" })
  num_inference_steps?: number;

  @Field(
    { rule: number(1, 20) },
    { type: 'number', description: "1 switches guidance off: one transformer pass a step; default: the model's" },
  )
  true_cfg_scale?: number;

  @Field(
    { rule: integer(0, (_context, { num_images }) => maxSeed(num_images)) },
    {
      type: 'integer',
      format: 'int64',
      example: 1,
      description:
        'random when absent; always echoed. Image k is drawn with seed + k. The generator takes 32 bits: seeds that are 2^32 apart draw the same',
    },
  )
  seed?: number;

  @Field(
    {
      rule: also(
        integer(1, ({ limits }) => limits.maxImages),
        oneWhenBytes,
      ),
    },
    { type: 'integer', default: 1 },
  )
  num_images?: number;

  @Field(
    { rule: integer(1, 1024) },
    { type: 'integer', default: 512, description: 'tokens of the prompt that are used; the answer warns of a cut' },
  )
  max_sequence_length?: number;

  // Swagger UI fills forms in with examples, and those of format and quality go together.
  @Field(
    { rule: choice(...imageFormats) },
    { enum: imageFormats, example: 'jpeg', description: 'when absent the first image type of Accept, else png' },
  )
  output_format?: ImageFormat;

  @Field(
    { rule: also(integer(1, 100), notForPng) },
    { type: 'integer', example: 90, description: 'jpeg and webp only; 90 when absent' },
  )
  output_quality?: number;

  @Field(
    { rule: boolean() },
    {
      type: 'boolean',
      default: true,
      description:
        'prompt and parameters inside the file, as JSON in dc:description (in PNG also as text "parameters"); ' +
        'a JPEG cuts prompts that its packet of 60,000 bytes cannot hold, and says "truncated"',
    },
  )
  output_metadata?: boolean;

  @Field(
    { rule: integer(1, ({ queue }) => queue.timeoutMs) },
    { type: 'integer', description: 'milliseconds from the acceptance to the end, waiting included; then it is given up' },
  )
  timeout_ms?: number;

  @Field(
    { rule: also(integer(0, 3), onlyAsync) },
    {
      type: 'integer',
      default: 0,
      description: 'unfinished pictures of each image, sent as events; with Prefer: respond-async or an Idempotency-Key',
    },
  )
  previews?: number;
}
