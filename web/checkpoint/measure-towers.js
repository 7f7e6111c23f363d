// The sizes of a checkpoint's towers, from the shapes of a few tensors.

// Where each family of checkpoints shows a tower's sizes. Functions get the tensor's shape.
const FAMILIES = {
  image: [
    {
      layers: /visual\.transformer\.resblocks\.(\d+)\./,
      facts: {
        'visual.conv1.weight': ([width, , patch]) => ({ width, patch }),
        'visual.positional_embedding': ([tokens]) => ({ tokens }),
        'visual.proj': ([, dim]) => ({ dim }),
      },
    },
    {
      layers: /vision_model\.encoder\.layers\.(\d+)\./,
      facts: {
        'vision_model.embeddings.patch_embedding.weight': ([width, , patch]) => ({ width, patch }),
        'vision_model.embeddings.position_embedding.weight': ([tokens]) => ({ tokens }),
        'visual_projection.weight': ([dim]) => ({ dim }),
      },
    },
  ],
  text: [
    {
      layers: /^(?:(?:module|clip|model|_orig_mod|text)\.)*transformer\.resblocks\.(\d+)\./,
      facts: {
        'token_embedding.weight': ([vocabulary, width]) => ({ vocabulary, width }),
        positional_embedding: ([context]) => ({ context }),
        text_projection: ([, dim]) => ({ dim }),
      },
    },
    {
      layers: /text_model\.encoder\.layers\.(\d+)\./,
      facts: {
        'text_model.embeddings.token_embedding.weight': ([vocabulary, width]) => ({ vocabulary, width }),
        'text_model.embeddings.position_embedding.weight': ([context]) => ({ context }),
        'text_projection.weight': ([dim]) => ({ dim }),
      },
    },
  ],
};

const WRAPPERS = /^(?:(?:module|clip|model|_orig_mod|text)\.)*/;

/**
 * The sizes of each tower that the shapes of a file's tensors tell.
 * @param {Record<string, { shape: number[] }>} tensors
 * @returns {{ image: object | null, text: object | null }} some of { width, layers, patch, tokens, context, vocabulary,
 *   dim }
 */
export function measureTowers(tensors) {
  const measured = {};
  for (const tower of ['image', 'text']) {
    measured[tower] = FAMILIES[tower].map((family) => measure(tensors, family)).find(({ width }) => width) ?? null;
  }
  return measured;
}

function measure(tensors, { layers, facts }) {
  const sizes = {};
  let blocks = 0;
  for (const [name, { shape }] of Object.entries(tensors)) {
    const fact = facts[name.replace(WRAPPERS, '')];
    if (fact) Object.assign(sizes, fact(shape));
    const block = layers.exec(name);
    if (block) blocks = Math.max(blocks, Number(block[1]) + 1);
  }
  return blocks ? { ...sizes, layers: blocks } : sizes;
}
