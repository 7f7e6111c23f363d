// How tensors of each tower are called, in every family of checkpoints. The loader in C knows for certain; this is for
// choosing files and for reports.

const WRAPPERS = '^(?:module\\.|clip\\.|model\\.|_orig_mod\\.|state_dict\\.)*';
const IMAGE = new RegExp(`${WRAPPERS}(visual\\.|vision_model\\.|visual_projection\\.|image_encoder\\.)`);
const TEXT = new RegExp(
  `${WRAPPERS}(text\\.|text_model\\.|text_projection|text_encoder\\.|transformer\\.|token_embedding|positional_embedding|ln_final|cls_emb)`,
);

const OPENAI = /^(input_resolution|context_length|vocab_size)$/;
const CLIP4CLIP = /^(frame_position_embeddings|transformerClip|lstm_visual|cross|similarity_dense)\./;
const OUTER = /^(?:(?:module|model|_orig_mod)\.)*/;

/**
 * What says that a checkpoint was trained with QuickGELU, as hc_layout_quick_gelu in src/load/layout.c finds it; null
 * if nothing does.
 */
export function quickGeluEvidence(names) {
  const bare = names.map((name) => name.replace(OUTER, ''));
  if (new Set(bare.map((name) => name.replace(/^clip\./, '')).filter((name) => OPENAI.test(name))).size >= 2)
    return "the buffers that OpenAI's archives have";
  if (
    bare.some((name) => /^clip\.(visual\.conv1|token_embedding)\.weight$/.test(name)) &&
    bare.some((name) => CLIP4CLIP.test(name))
  )
    return 'what CLIP4Clip keeps beside its CLIP';
  return null;
}

/** @returns {'image' | 'text' | 'neither'} the tower that a tensor of this name belongs to */
export const towerOf = (name) => (IMAGE.test(name) ? 'image' : TEXT.test(name) ? 'text' : 'neither');
