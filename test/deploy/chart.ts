import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { deployFolder, runPython } from './tools.js';

export const chartFolder = join(deployFolder, 'helm/qwen-image-server');

export interface Manifest {
  kind: string;
  metadata: { name: string; labels: Record<string, string> };
}

interface Named {
  name: string;
}

type Labels = Record<string, string>;

/* What the tests look at of the kinds that they know. */

export interface Container {
  image: string;
  args: string[];
  env: { name: string; value?: string }[];
  ports: { name: string; containerPort: number }[];
  startupProbe: { httpGet: { path: string } };
  livenessProbe: { httpGet: { path: string } };
  readinessProbe: { httpGet: { path: string } };
  lifecycle: { preStop: { exec: { command: [string, string] } } };
  securityContext: object;
  resources: Record<string, Labels>;
  volumeMounts: { name: string; mountPath: string }[];
}

export interface Pod {
  terminationGracePeriodSeconds: number;
  securityContext: { runAsUser: number; runAsGroup: number };
  tolerations?: object[];
  containers: [Container];
  volumes: (Named & { secret?: { secretName: string } })[];
}

export interface Kinds {
  ConfigMap: { data: Labels };
  Deployment: { spec: { selector: { matchLabels: Labels }; template: { metadata: { labels: Labels }; spec: Pod } } };
  NetworkPolicy: { spec: { podSelector: { matchLabels: Labels } } };
  PodDisruptionBudget: { spec: { selector: { matchLabels: Labels } } };
  Secret: { stringData: Labels };
  Service: { spec: { selector: Labels; ports: [{ name: string; targetPort: string }] } };
  ServiceMonitor: { spec: { jobLabel: string; selector: { matchLabels: Labels }; endpoints: object[] } };
}

export interface Rendered {
  manifests: Manifest[];
  notes: string;
  /** Of `helm lint --strict`. */
  remarks: string[];
}

type Answer = { manifests: Record<string, string>; remarks: string[] } | { refusal: string };

/** Of `helm install pictures` with each of these values. */
function ask(values: readonly string[]): Answer[] {
  const { status, text } = runPython([join(__dirname, 'render_chart.py'), chartFolder], JSON.stringify(values));
  if (status !== 0) throw new Error(text);
  return JSON.parse(text) as Answer[];
}

/** What would be sent to the cluster. */
export function renderAll(values: readonly string[]): Rendered[] {
  return ask(values).map((answer) => {
    if ('refusal' in answer) throw new Error(answer.refusal);
    const files = Object.entries(answer.manifests);
    const documents = files.filter(([path]) => path.endsWith('.yaml')).flatMap(([, file]) => parseAllDocuments(file));
    return {
      manifests: documents.map((document) => document.toJS() as Manifest | null).filter((manifest) => manifest !== null),
      notes: files.find(([path]) => path.endsWith('NOTES.txt'))?.[1] ?? '',
      remarks: answer.remarks,
    };
  });
}

/** Why each is refused; null where it is not. */
export function refusalsOf(values: readonly string[]): (string | null)[] {
  return ask(values).map((answer) => ('refusal' in answer ? answer.refusal : null));
}

/** The manifests of a kind. */
export function all<Kind extends keyof Kinds>(kind: Kind, { manifests }: Rendered): (Manifest & Kinds[Kind])[] {
  return manifests.filter((manifest) => manifest.kind === kind) as (Manifest & Kinds[Kind])[];
}

export function one<Kind extends keyof Kinds>(kind: Kind, rendered: Rendered): Manifest & Kinds[Kind] {
  const [found, ...others] = all(kind, rendered);
  if (!found || others.length > 0) throw new Error(`${others.length + 1} of kind ${kind}`);
  return found;
}

export function podOf(rendered: Rendered): Pod {
  return one('Deployment', rendered).spec.template.spec;
}
