// Marks, punctuation and controls as Hugging Face's tokenizers know them for BERT: their tables are those of Unicode
// 8.0, which an engine's regular expressions have left behind.

// What has become a mark, punctuation or a format character since, and unassigned characters between.
const YOUNGER =
  '\\u061d\\u07fd\\u0890-\\u08e2\\u09fd-\\u09fe\\u0a76\\u0afa-\\u0aff\\u0b55\\u0c04-\\u0c3c\\u0c77\\u0c84\\u0d00' +
  '\\u0d3b-\\u0d3c\\u0d81\\u0eba\\u0ece\\u180f-\\u1886\\u1abf-\\u1aeb\\u1b4e-\\u1b4f\\u1b7d-\\u1b7f\\u1df6-\\u1dfb' +
  '\\u2e43-\\u2e5d\\ua82c\\ua8c5\\ua8ff\\ua9bd\\u{10d24}-\\u{10f89}\\u{11070}-\\u{11074}\\u{110c2}-\\u{110cd}' +
  '\\u{111c9}\\u{111cf}\\u{1123e}-\\u{11241}\\u{1133b}\\u{113bb}-\\u{1145e}\\u{11660}-\\u{1166c}\\u{116b9}' +
  '\\u{1182f}-\\u{11fff}\\u{12ff1}-\\u{1612f}\\u{16d6d}-\\u{16f4f}\\u{16fe2}-\\u{16fe4}\\u{1cf00}-\\u{1cf46}' +
  '\\u{1e000}-\\u{1e6f5}\\u{1e944}-\\u{1e95f}';

const older = (set) => `(?![${YOUNGER}])${set}`;

export const NONSPACING_MARKS = new RegExp(`${older('\\p{Mn}')}|\\u1734`, 'gu');
export const PUNCTUATION = new RegExp(`([!-/:-@[-\`{-~]|${older('\\p{P}')}|\\u166d)`, 'u');
export const CONTROLS = new RegExp(`(?![\\t\\n\\r])${older('[\\p{Cc}\\p{Cf}\\p{Co}\\ufffd]')}`, 'gu');
