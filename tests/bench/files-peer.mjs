// @huggingface/transformers as a contender of files.mjs, in Node.js and in a page.

/**
 * @param {object} transformers its module, whose `env` is set
 * @param {string} folder of the model
 * @param {object} options of the model: where it computes
 * @returns {Promise<{ embed(sources: (string | Blob)[]): Promise<Float32Array[]> }>}
 */
export async function loadPeer({ AutoProcessor, CLIPVisionModelWithProjection, RawImage }, folder, options) {
  const processor = await AutoProcessor.from_pretrained(folder);
  const model = await CLIPVisionModelWithProjection.from_pretrained(folder, {
    dtype: 'q8',
    model_file_name: 'model',
    ...options,
  });
  return {
    async embed(sources) {
      const vectors = [];
      // As its own pipeline does: the files of a call are read together, here one ahead of the other.
      let next = RawImage.read(sources[0]);
      for (let i = 0; i < sources.length; i++) {
        const image = await next;
        if (i + 1 < sources.length) next = RawImage.read(sources[i + 1]);
        const { image_embeds } = await model(await processor(image));
        vectors.push(Float32Array.from(image_embeds.data));
      }
      return vectors;
    },
  };
}
