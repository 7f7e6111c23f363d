// How tensors of each tower are called, in every family of checkpoints. The loader in C knows for certain; this is for choosing files and for reports.

const WRAPPERS = '^(?:module\\.|clip\\.|model\\.|_orig_mod\\.|state_dict\\.)*';
const IMAGE = new RegExp(`${WRAPPERS}(visual\\.|vision_model\\.|visual_projection\\.|image_encoder\\.)`);
const TEXT = new RegExp(`${WRAPPERS}(text\\.|text_model\\.|text_projection|text_encoder\\.|transformer\\.|token_embedding|positional_embedding|ln_final|cls_emb)`);

/** @returns {'image' | 'text' | 'neither'} the tower that a tensor of this name belongs to */
export const towerOf = (name) => (IMAGE.test(name) ? 'image' : TEXT.test(name) ? 'text' : 'neither');
