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
/** Its name and value; parameters behind `;` add nothing here. */
const preference = new RegExp(`^\\s*(${token})\\s*(?:=\\s*(?:(${token}|${quoted})\\s*)?)?(?:;|$)`);

function preferences(prefer: string): Preference[] {
  return elementsOf(prefer).flatMap((text) => {
    const [, name, value = ''] = preference.exec(text) ?? [];
    return name === undefined ? [] : [{ name: name.toLowerCase(), value: value.replace(/^"(.*)"$/s, '$1') }];
  });
}

/** What stands between two commas, commas within quotes aside. Looks at each character twice at most, whatever they are. */
function elementsOf(text: string): string[] {
  const elements: string[] = [];
  let begin = 0;
  let quotesClose = true;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '"' && quotesClose) {
      const end = endOfQuoted(text, at);
      if (end === null) quotesClose = false;
      else at = end;
    } else if (text[at] === ',') {
      elements.push(text.slice(begin, at));
      begin = at + 1;
    }
  }
  return [...elements, text.slice(begin)];
}

/** Where the quote is that ends what begins at `begin`; null: nowhere. */
function endOfQuoted(text: string, begin: number): number | null {
  for (let at = begin + 1; at < text.length; at++) {
    if (text[at] === '"') return at;
    if (text[at] === '\\') at += 1;
  }
  return null;
}
