// Which families of towers the WebAssembly module has to have. OpenCLIP's own transformers have a module without the
// rest, so that a page with a ViT does not pay for what it never runs.

/** How much of a shard holds its config: its metadata comes first. */
export const HEAD = 1 << 14;

/**
 * @param {string} text a config in JSON, or the beginning of a shard, whose config is JSON in JSON
 * @returns {'vit' | 'all'} vit: both towers are OpenCLIP's own transformers and texts have CLIP's tokenizer, so that one
 *   module serves both
 */
export const familiesOf = (text) =>
  /timm_model_name|hf_model_name|hf_config|tokenizer_name|halfclip\.tokenizer|"layers\\?"\s*:\s*\[/.test(text)
    ? 'all'
    : 'vit';

/** The same of bytes. */
export const familiesOfShard = (head) => familiesOf(new TextDecoder('latin1').decode(head));
