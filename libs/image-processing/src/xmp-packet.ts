const sourceTypes = 'http://cv.iptc.org/newscodes/digitalsourcetype';

/** The IPTC terms that say a picture was made by a model. */
export type DigitalSourceType = 'trainedAlgorithmicMedia' | 'compositeWithTrainedAlgorithmicMedia';

/** One XMP packet: how the picture came to be and, with `description`, from what. */
export function xmpPacket(sourceType: DigitalSourceType, description: string | null): string {
  const lines = [
    '<?xpacket begin="\uFEFF" id="W5M0MpCehiHzreSzNTczkc9d"?>',
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">',
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">',
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"' +
      ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">',
    `<Iptc4xmpExt:DigitalSourceType>${sourceTypes}/${sourceType}</Iptc4xmpExt:DigitalSourceType>`,
    ...(description === null ? [] : [languageAlternative('dc:description', description)]),
    '</rdf:Description>',
    '</rdf:RDF>',
    '</x:xmpmeta>',
    '<?xpacket end="r"?>',
  ];
  return lines.join('\n');
}

function languageAlternative(name: string, text: string): string {
  return `<${name}><rdf:Alt><rdf:li xml:lang="x-default">${escapeXml(text)}</rdf:li></rdf:Alt></${name}>`;
}

// XML 1.0 has no way at all to write these, not even as a reference: https://www.w3.org/TR/xml/#charsets
const illegal = /[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu;
const references: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '\r': '&#13;' };

export function escapeXml(text: string): string {
  return text.replace(illegal, '\uFFFD').replace(/[&<>\r]/g, (character) => references[character] ?? character);
}
