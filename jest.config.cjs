// Nest 12 and a few of its dependencies are ESM-only; Jest on Node 20 cannot require() those, so swc turns them into CommonJS.
const esmPackages = [
  '@nestjs',
  'file-type',
  'strtok3',
  'token-types',
  'uint8array-extras',
  '@tokenizer',
  '@borewit',
  'load-esm',
  '@huggingface/tokenizers',
];

const swc = {
  jsc: {
    parser: { syntax: 'typescript', decorators: true },
    transform: { legacyDecorator: true, decoratorMetadata: true },
    target: 'es2022',
    keepClassNames: true,
  },
  module: { type: 'commonjs' },
  sourceMaps: 'inline',
};

const shared = {
  rootDir: __dirname,
  // Elsewhere, build/ most of all, lie whole trees that Jest would read at every start.
  roots: ['<rootDir>/apps', '<rootDir>/libs', '<rootDir>/test'],
  moduleFileExtensions: ['js', 'json', 'ts', 'mjs'],
  testEnvironment: 'node',
  transform: { '^.+\\.(t|j|mj)s$': ['@swc/jest', swc] },
  transformIgnorePatterns: [`/node_modules/(?!(?:${esmPackages.join('|')})/)`],
  // Imports end in .js, as Node wants them; in the sources the file is a .ts.
  moduleNameMapper: { '^@app/([a-z-]+)$': '<rootDir>/libs/$1/src', '^(\\.{1,2}/.*)\\.js$': '$1' },
};

module.exports = {
  // A bound on hanging and not on speed: two busy processors take ten times as long as two idle ones.
  testTimeout: 300000,
  projects: [
    { ...shared, displayName: 'unit', testMatch: ['<rootDir>/{apps,libs}/**/*.spec.ts'] },
    { ...shared, displayName: 'addon', testMatch: ['<rootDir>/test/addon/**/*.spec.ts'] },
    {
      ...shared,
      displayName: 'e2e',
      testMatch: [
        '<rootDir>/test/{e2e,cases,concurrency,crash,deploy,fault,memory,setup}/**/!(flat|ledger|model-rounds).spec.ts',
      ],
    },
    { ...shared, displayName: 'image', testMatch: ['<rootDir>/test/image/**/*.spec.ts'] },
    {
      ...shared,
      displayName: 'slow',
      testMatch: ['<rootDir>/test/{slow/**/*,fault/ledger,fuzz/**/*,memory/{flat,model-rounds}}.spec.ts'],
    },
  ],
};
