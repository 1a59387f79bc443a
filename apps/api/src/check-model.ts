import type { ModelConfig } from '@app/config';
import { checkModelFolder, EngineError } from '@app/engine';

/** What --check tells of the model folder; false: it cannot be loaded. */
export async function checkModel({ path }: Pick<ModelConfig, 'path'>): Promise<boolean> {
  try {
    const { class: pipelineClass, weightFiles, weightBytes } = await checkModelFolder(path);
    const megabytes = (weightBytes / 1e6).toFixed(1);
    process.stdout.write(`configuration: good\n${path}: ${pipelineClass}, ${weightFiles} weight files, ${megabytes} MB: good\n`);
    return true;
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    process.stdout.write('configuration: good\n');
    process.stderr.write(`the model folder cannot be loaded: ${error.message}\n`);
    return false;
  }
}
