import { Ajv2020 } from 'ajv/dist/2020.js';

/** What the generators read of a JSON Schema. */
export interface Schema {
  $ref?: string;
  type?: string | readonly string[];
  enum?: readonly unknown[];
  properties?: Readonly<Record<string, Schema>>;
  required?: readonly string[];
  items?: Schema;
  anyOf?: readonly Schema[];
  oneOf?: readonly Schema[];
  format?: string;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  multipleOf?: number;
  minLength?: number;
  maxLength?: number;
}

export interface Parameter {
  name: string;
  in: 'path' | 'query' | 'header' | 'cookie';
  schema?: Schema;
}

type Content = Readonly<Record<string, { schema?: Schema }>>;

interface OperationObject {
  parameters?: readonly Parameter[];
  requestBody?: { content: Content };
  responses: Readonly<Record<string, { content?: Content }>>;
}

export interface Operation {
  /** As the document spells it: /jobs/{id} */
  path: string;
  method: string;
  parameters: readonly Parameter[];
  /** Schema of the body by media type. */
  bodies: ReadonlyMap<string, Schema>;
  /** Schema of the answer by status and media type; an answer without content has no media type. */
  responses: ReadonlyMap<number, ReadonlyMap<string, Schema>>;
}

const methods = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'];
const documentId = 'openapi.json';

function schemasOf(content: Content = {}): Map<string, Schema> {
  return new Map(Object.entries(content).map(([type, { schema = {} }]) => [type, schema]));
}

/** GET /openapi.json of the running server: what there is to ask for, and which answers are right. */
export class ApiDocument {
  readonly operations: readonly Operation[];
  private readonly ajv = new Ajv2020({
    strict: false,
    logger: false,
    formats: { byte: /^[A-Za-z0-9+/]*={0,2}$/, uuid: /^[\da-f-]{36}$/ },
  });
  private readonly whole: {
    paths: Record<string, Record<string, OperationObject>>;
    components: { schemas: Record<string, Schema> };
  };

  constructor(text: string) {
    // A schema is validated apart from the document around it, so its references name the document.
    this.whole = JSON.parse(text.replaceAll('"$ref":"#/', `"$ref":"${documentId}#/`)) as typeof this.whole;
    this.ajv.addSchema({ ...this.whole, $id: documentId });
    // A request that takes the model away changes the answers to all others: those routes have specs of their own.
    const paths = Object.entries(this.whole.paths).filter(([path]) => !path.startsWith('/admin/model/'));
    this.operations = paths.flatMap(([path, item]) =>
      Object.entries(item)
        .filter(([method]) => methods.includes(method))
        .map(([method, operation]) => readOperation(path, method, operation)),
    );
  }

  resolve(schema: Schema): Schema {
    const name = schema.$ref?.split('/').at(-1);
    return name === undefined ? schema : this.resolve(this.whole.components.schemas[name] ?? {});
  }

  allows(schema: Schema, value: unknown): boolean {
    return this.ajv.validate(schema, value);
  }

  /** Why the value is not what the schema says; null when it is. */
  faultOf(schema: Schema, value: unknown): string | null {
    return this.ajv.validate(schema, value) ? null : this.ajv.errorsText();
  }
}

function readOperation(path: string, method: string, { parameters = [], requestBody, responses }: OperationObject): Operation {
  const byStatus = Object.entries(responses).map(([status, { content }]) => [Number(status), schemasOf(content)] as const);
  return {
    path,
    method: method.toUpperCase(),
    parameters,
    bodies: schemasOf(requestBody?.content),
    responses: new Map(byStatus),
  };
}
