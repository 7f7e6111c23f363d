/* keys.h: every option that open_clip_torch 3.3.0 has, and two of our own: timm_model_args and hf_config, sizes in
 * place of those that a name of timm's or Hugging Face's stands for. Lists end with NULL. */
#ifndef HC_KEYS_H
#define HC_KEYS_H

extern const char *const HC_MODEL_KEYS[], *const HC_VISION_KEYS[], *const HC_TEXT_KEYS[];

#endif
