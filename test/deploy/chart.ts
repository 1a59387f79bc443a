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

/** What `helm install pictures` would send. */
export function render(values: string): Rendered {
  const { status, text } = tryToRender(values);
  if (status !== 0) throw new Error(text);
  const { manifests, remarks } = JSON.parse(text) as { manifests: Record<string, string>; remarks: string[] };
  const documents = Object.entries(manifests).filter(([path]) => path.endsWith('.yaml'));
  return {
    manifests: documents.flatMap(([, document]) =>
      parseAllDocuments(document)
        .map((each) => each.toJS() as Manifest | null)
        .filter((each) => each !== null),
    ),
    notes: Object.entries(manifests).find(([path]) => path.endsWith('NOTES.txt'))?.[1] ?? '',
    remarks,
  };
}

/** The refusal, where it is one. */
export function tryToRender(values: string): { status: number | null; text: string } {
  return runPython([join(__dirname, 'render_chart.py'), chartFolder], values);
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
