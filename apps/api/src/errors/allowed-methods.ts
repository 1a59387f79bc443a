import type { Application } from 'express';

/** What Express' types leave out of a layer. */
interface RouterLayer {
  match(path: string): boolean;
  route?: { methods: Readonly<Record<string, boolean>> };
}

/** Methods of the routes that have this path. Express itself calls a wrong method a wrong path. */
export function allowedMethods({ router }: Application, path: string): string[] {
  const layers = router.stack as unknown as readonly RouterLayer[];
  const routes = layers.flatMap((layer) => (layer.route && layer.match(path) ? [layer.route] : []));
  const methods = routes.flatMap(({ methods }) => Object.keys(methods)).map((method) => method.toUpperCase());
  return [...new Set(methods.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method])))];
}
