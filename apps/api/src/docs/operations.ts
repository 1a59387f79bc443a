import type { OpenAPIObject } from '@nestjs/swagger';

const methods = ['get', 'post', 'put', 'delete'] as const;
type Paths = OpenAPIObject['paths'];
export type Operation = NonNullable<Paths[string]['get']>;

export interface NamedOperation {
  /** As the document spells it: /jobs/{id} */
  path: string;
  method: (typeof methods)[number];
  operation: Operation;
}

/** Every operation of the document, in its order. */
export function operationsOf({ paths }: OpenAPIObject): NamedOperation[] {
  return Object.entries(paths).flatMap(([path, item]) =>
    methods.flatMap((method) => {
      const operation = item[method];
      return operation ? [{ path, method, operation }] : [];
    }),
  );
}
