import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

/**
 * Imports go one way: apps → inference, health → engine, image-processing → config, observability.
 * What a folder may import of the project's own libraries; everything else of `@app/*` is refused.
 */
const mayImport = {
  'libs/config': [],
  'libs/observability': ['config'],
  'libs/engine': ['config', 'observability'],
  'libs/image-processing': ['config', 'observability'],
  'libs/inference': ['engine', 'image-processing', 'config', 'observability'],
  'libs/health': ['inference', 'engine', 'config', 'observability'],
  'apps/engine-host': ['engine', 'config', 'observability'],
  'apps/api': ['inference', 'health', 'engine', 'image-processing', 'config', 'observability'],
};

const libraries = ['config', 'engine', 'health', 'image-processing', 'inference', 'observability'];

const closedDoors = [
  { group: ['@app/*/*'], message: "A library's only door is its index.ts: import @app/<library>." },
  { regex: '^(\\.\\./)+([\\w-]+/src|libs|apps)(/|$)', message: 'Import other parts of the project as @app/<library>.' },
];

/** Technology that belongs to one place. */
const owned = [
  { name: 'sharp', owner: 'libs/image-processing', message: 'Only libs/image-processing parses pictures.' },
  { name: '@huggingface/tokenizers', owner: 'libs/engine', message: 'Only libs/engine knows the tokenizer.' },
  { name: 'winston', owner: 'libs/observability', message: 'Log through Nest’s Logger.' },
  { name: 'prom-client', owner: 'libs/observability', message: 'Measure through MetricsRegistry.' },
  { name: '@opentelemetry/api', owner: 'libs/observability', message: 'Trace through @app/observability.' },
  { name: 'yaml', owner: 'libs/config', message: 'Only libs/config reads settings.' },
];

function importRules(folder) {
  const refused = libraries.filter((library) => !mayImport[folder].includes(library));
  const patterns = refused.map((library) => ({
    group: [`@app/${library}`],
    message: `${folder} may not import @app/${library}: imports go one way (docs/architecture.md).`,
  }));
  const paths = owned.filter(({ owner }) => owner !== folder).map(({ name, message }) => ({ name, message }));
  return {
    files: [`${folder}/**/*.ts`],
    rules: { '@typescript-eslint/no-restricted-imports': ['error', { paths, patterns: [...closedDoors, ...patterns] }] },
  };
}

const loadsTheAddon = ['libs/engine/src/binding.ts', 'apps/engine-host/**', 'test/addon/**'];

export default defineConfig(
  globalIgnores(['dist/', 'build/', 'coverage/', '.libtorch/', '.setup/', 'node_modules/']),
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { project: './tsconfig.json', tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/dot-notation': ['error', { allowIndexSignaturePropertyAccess: true }],
      '@typescript-eslint/explicit-member-accessibility': ['error', { accessibility: 'no-public' }],
      '@typescript-eslint/no-empty-function': ['error', { allow: ['arrowFunctions'] }],
      '@typescript-eslint/no-extraneous-class': 'off', // a Nest module is a class with a static method
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off', // types are structural here
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      // The configuration and its tests use `env` as an argument; only the two entry points read the real one.
      'no-restricted-properties': ['error', { object: 'process', property: 'env', message: 'Settings come from libs/config.' }],
      'no-restricted-syntax': [
        'error',
        { selector: 'ExportDefaultDeclaration', message: 'No default exports: one thing has one name everywhere.' },
        { selector: 'TSEnumDeclaration', message: 'Use a union of literals.' },
        { selector: 'Literal[value=/\\.node$/]', message: 'Only libs/engine/src/binding.ts and the engine host load the addon.' },
      ],
      eqeqeq: ['error', 'always'],
    },
  },
  { files: loadsTheAddon, rules: { 'no-restricted-syntax': 'off' } },
  { files: ['apps/*/src/main.ts', 'test/**/*.ts'], rules: { 'no-restricted-properties': 'off' } },
  ...Object.keys(mayImport).map(importRules),
  {
    files: ['**/*.spec.ts', 'test/**/*.ts'],
    rules: {
      // Jest's matchers are typed as any, and a test may be sure of what it made itself.
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-empty-function': 'off',
      '@typescript-eslint/unbound-method': 'off',
    },
  },
);
