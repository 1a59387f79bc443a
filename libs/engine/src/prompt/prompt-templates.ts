/** Text around a prompt. The wording is part of the model: text encoder and transformer were trained with it. */
export interface PromptTemplate {
  prefix: string;
  suffix: string;
  /** Leading rows of the embeddings that are dropped: the tokens of `prefix` with the released vocabulary. */
  dropIndex: number;
  /** Tokens kept of the filled-in template, counted from its start. */
  maxTokens: number;
}

const tokenizerMaxLength = 1024;
const textToImageDropIndex = 34;

// https://github.com/huggingface/diffusers/blob/v0.42.1/src/diffusers/pipelines/qwenimage/pipeline_qwenimage.py
export const textToImageTemplate: PromptTemplate = {
  prefix:
    '<|im_start|>system\nDescribe the image by detailing the color, shape, size, texture, quantity, text, ' +
    'spatial relationships of the objects and background:<|im_end|>\n<|im_start|>user\n',
  suffix: '<|im_end|>\n<|im_start|>assistant\n',
  dropIndex: textToImageDropIndex,
  maxTokens: tokenizerMaxLength + textToImageDropIndex,
};

/** Tokens that stand for the features of a picture. In a prompt they would ask for a picture that is not there. */
export const picturePlaceholders: readonly string[] = ['<|image_pad|>', '<|video_pad|>'];
