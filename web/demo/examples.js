// Words and sentences to begin with, by what the chosen model knows. Those of the bundled one are in the page itself.

/** Captions of photographs: what models of pictures and words are trained on, and plain sentences to all others. */
const CAPTIONS = {
  words: 'a dog, a birthday cake, a street at night…',
  sentences: `a dog on a beach
a dog runs along the beach
a birthday cake with candles
a cake for a birthday
a city street at night
a street in town after dark
`,
};

/** @param {{ query: HTMLInputElement, sentences: HTMLTextAreaElement, onChange(): void }} fields */
export function createExamples({ query, sentences, onChange }) {
  const bundled = { words: query.placeholder, sentences: sentences.value };
  let shown = bundled;

  return {
    /** Shows those of a model, unless the visitor has written sentences of their own. */
    show(isBundled) {
      const before = shown;
      shown = isBundled ? bundled : CAPTIONS;
      query.placeholder = shown.words;
      if (shown === before || sentences.value !== before.sentences) return;
      sentences.value = shown.sentences;
      onChange();
    },
  };
}
