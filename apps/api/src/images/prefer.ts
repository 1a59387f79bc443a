/**
 * Whether the preferences of a request (RFC 7240) ask for an answer before the work is done. Several header lines come as one,
 * joined by commas. What is unknown or malformed is passed over, as the RFC says: only this name matters here.
 */
export function prefersAsync(prefer = ''): boolean {
  return preferences(prefer).some(({ name, value }) => name === 'respond-async' && value === '');
}

interface Preference {
  /** In lower case. */
  name: string;
  /** Empty when there is none, which is the same. */
  value: string;
}

const token = String.raw`[\w!#$%&'*+.^` + '`' + String.raw`|~-]+`;
const quoted = String.raw`"(?:[^"\\]|\\.)*"`;
/** What stands between two commas, commas within quotes aside. */
const element = new RegExp(`(?:${quoted}|[^,"])+`, 'g');
/** Its name and value; parameters behind `;` add nothing here. */
const preference = new RegExp(`^\\s*(${token})\\s*(?:=\\s*(${token}|${quoted})?\\s*)?(?:;|$)`);

function preferences(prefer: string): Preference[] {
  return (prefer.match(element) ?? []).flatMap((text) => {
    const [, name, value = ''] = preference.exec(text) ?? [];
    return name === undefined ? [] : [{ name: name.toLowerCase(), value: value.replace(/^"(.*)"$/s, '$1') }];
  });
}
