"""Trains small tokenizers of each kind that Hugging Face's models have, and writes what OpenCLIP's HFTokenizer makes of
texts with them: golden data for web/text.

    python weights-tools/golden_tokenizers.py [--check FOLDER --count 20000]

Needs open_clip_torch (3.3.0), transformers and tokenizers. Writes tests/golden/tokenizers/NAME/tokenizer.json and
tokenizer_config.json, and cases.json: for each NAME and each of some text_cfgs, texts and their ids.

--check compares what the package makes of many strings with what HFTokenizer makes of them, for a real vocabulary:
FOLDER has a tokenizer.json, and a tokenizer_config.json that says what its special tokens are. Exits with 1 if any
string has other ids.
"""
import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from golden_tokens import PHRASES, draw, merge_lines
from open_clip.tokenizer import HFTokenizer
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / 'tests/golden/tokenizers'
# What the trained tokenizers know; texts hold other characters, too.
CORPUS = [phrase for phrase in PHRASES if all(ord(c) < 0x500 for c in phrase)] * 3 + [
    'a photo of a cat', 'a photo of the dog', 'photos of cats and dogs', 'the cat sat on the mat, and it was red',
    'two small cats in a large garden', 'he said: "it\'s not the dog\'s"', 'the years 1999, 2024 and 2025']
PADDED = {'pad_token': '<pad>', 'unk_token': '<unk>', 'eos_token': '</s>'}
BYTES = [f'<0x{byte:02X}>' for byte in range(256)]


# ---- one of each kind -----------------------------------------------------------------------------------------------

def character_map(pairs):
    """A precompiled map of characters as sentencepiece writes it: a double array (Aoe 1989) and the texts."""
    keys = {key.encode(): value.encode() for key, value in pairs.items()}
    texts, places = b'', {}
    for key, value in keys.items():
        places[key] = len(texts)
        texts += value + b'\0'
    units, taken = [0] * 256, {0}

    def place(node, prefix):
        below = sorted({key[len(prefix)] for key in keys if key.startswith(prefix) and len(key) > len(prefix)})
        labels = ([0] if prefix in keys else []) + below
        base = next(base for base in range(1, 1 << 20) if not any(base ^ label in taken for label in labels))
        taken.update(base ^ label for label in labels)
        units.extend([0] * (base + 256 - len(units)))
        units[node] |= (node ^ base) << 10 | (1 << 8 if prefix in keys else 0)
        for label in below:
            units[base ^ label] |= label
        if prefix in keys:
            units[base] = 1 << 31 | places[prefix]
        for label in below:
            place(base ^ label, prefix + bytes([label]))

    place(0, b'')
    trie = b''.join(unit.to_bytes(4, 'little') for unit in units)
    return len(trie).to_bytes(4, 'little') + trie + texts


def unigram():
    """mT5's and SigLIP's."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme='always')])
    tokenizer.train_from_iterator(CORPUS, trainers.UnigramTrainer(
        vocab_size=220, special_tokens=['<pad>', '</s>', '<unk>'], unk_token='<unk>', show_progress=False))
    pairs = {'ﬁ': 'fi', 'Ⅷ': 'VIII', '½': '1/2', 'Ａ': 'A', 'e\u0301': 'é', 'é': 'e', '\u200b': '', '…': '...'}
    tokenizer.normalizer = normalizers.Precompiled(character_map(pairs))
    tokenizer.post_processor = processors.TemplateProcessing(single='$A </s>', special_tokens=[('</s>', 1)])
    return tokenizer, {**PADDED, 'tokenizer_class': 'PreTrainedTokenizerFast', 'padding_side': 'right'}


def xlm_roberta():
    """XLM-R's and XLM-V's: what stands around a text is on both sides, and scores are those of sentencepiece."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(' {2,}'), ' ')])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme='always')
    tokenizer.train_from_iterator(CORPUS, trainers.UnigramTrainer(
        vocab_size=220, special_tokens=['<s>', '<pad>', '</s>', '<unk>'], unk_token='<unk>', show_progress=False))
    tokenizer.add_special_tokens(['<mask>'])
    tokenizer.post_processor = processors.TemplateProcessing(
        single='<s> $A </s>', special_tokens=[('<s>', 0), ('</s>', 2)])
    return tokenizer, {**PADDED, 'bos_token': '<s>', 'cls_token': '<s>', 'sep_token': '</s>', 'mask_token': '<mask>',
                       'tokenizer_class': 'PreTrainedTokenizerFast'}


def byte_fallback():
    """Gemma's, which is SigLIP 2's."""
    tokenizer = Tokenizer(models.BPE(unk_token='<unk>', fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(' ', '▁')
    tokenizer.pre_tokenizer = pre_tokenizers.Split(' ', 'merged_with_previous')
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=480, limit_alphabet=70, special_tokens=['<pad>', '<eos>', '<bos>', '<unk>', *BYTES],
        show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(single='$A <eos>', special_tokens=[('<eos>', 1)])
    trained = json.loads(tokenizer.to_str())
    trained['added_tokens'] = trained['added_tokens'][:4] # bytes are tokens like others
    tokenizer = Tokenizer.from_str(json.dumps(trained))
    return tokenizer, {'pad_token': '<pad>', 'eos_token': '<eos>', 'bos_token': '<bos>', 'unk_token': '<unk>',
                       'mask_token': '<pad>',
                       'tokenizer_class': 'GemmaTokenizer', 'padding_side': 'right'}


def nllb():
    """NLLB's: pairs of sentencepiece's, and a token for each language."""
    tokenizer = Tokenizer(models.BPE(unk_token='<unk>', fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme='always')
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=240, limit_alphabet=80, special_tokens=['<s>', '<pad>', '</s>', '<unk>'], show_progress=False))
    tokenizer.add_special_tokens(['eng_Latn', 'fra_Latn', AddedToken('<mask>', lstrip=True, normalized=True)])
    return tokenizer, {**PADDED, 'bos_token': '<s>', 'cls_token': '<s>', 'sep_token': '</s>',
                       'additional_special_tokens': ['eng_Latn', 'fra_Latn'], 'tokenizer_class': 'NllbTokenizer'}


def byte_level():
    """RoBERTa's."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=420, special_tokens=['<s>', '<pad>', '</s>', '<unk>', '<mask>'],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tokenizer.post_processor = processors.RobertaProcessing(('</s>', 2), ('<s>', 0))
    return tokenizer, {**PADDED, 'bos_token': '<s>', 'cls_token': '<s>', 'sep_token': '</s>', 'mask_token': '<mask>',
                       'tokenizer_class': 'RobertaTokenizer'}


def word_piece():
    """BERT's."""
    tokenizer = Tokenizer(models.WordPiece(unk_token='[UNK]'))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(CORPUS, trainers.WordPieceTrainer(
        vocab_size=260, limit_alphabet=80, special_tokens=['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'],
        show_progress=False))
    tokenizer.post_processor = processors.BertProcessing(('[SEP]', 3), ('[CLS]', 2))
    return tokenizer, {'pad_token': '[PAD]', 'unk_token': '[UNK]', 'cls_token': '[CLS]', 'sep_token': '[SEP]',
                       'mask_token': '[MASK]', 'bos_token': '[CLS]', 'eos_token': '[SEP]', 'tokenizer_class': 'BertTokenizer'}


KINDS = {'unigram': unigram, 'xlm-roberta': xlm_roberta, 'byte-fallback': byte_fallback, 'nllb': nllb,
         'byte-level': byte_level, 'word-piece': word_piece}
CANONICAL = {'tokenizer_kwargs': {'clean': 'canonicalize'}, 'context_length': 16}
# The text_cfgs that a tokenizer is tried with; what is general is tried with one of them only.
CONFIGS = {
    'unigram': [CANONICAL, {'context_length': 24}],
    'xlm-roberta': [{'context_length': 20}, {'tokenizer_kwargs': {'clean': 'lower'}, 'context_length': 9}],
    'byte-fallback': [CANONICAL, {'context_length': 40}],
    'nllb': [{'context_length': 20}, {'tokenizer_kwargs': {'language': 'fra_Latn'}, 'context_length': 20}],
    'byte-level': [{'context_length': 30}],
    'word-piece': [{'tokenizer_kwargs': {'strip_sep_token': True}, 'context_length': 20}, {'context_length': 20},
                   {'tokenizer_mode': 'clips', 'context_length': 12}],
}


# ---- texts and ids --------------------------------------------------------------------------------------------------

def draw_texts(count, seed):
    rng = random.Random(seed)
    words = [word.replace('</w>', '') for line in merge_lines(20000) for word in [line.replace(' ', '')]]
    words = [word for word in words if word.isascii()]
    texts = []
    while len(texts) < count:
        _, text = draw(rng, words)
        try:
            text.encode()
        except UnicodeEncodeError:
            continue
        texts.append(text)
    return texts


def tokenizer_of(folder, text_cfg):
    """As OpenCLIP's get_tokenizer makes it of a text_cfg."""
    tokenizer = HFTokenizer(str(folder), context_length=text_cfg['context_length'],
                            tokenizer_mode=text_cfg.get('tokenizer_mode'), **text_cfg.get('tokenizer_kwargs', {}))
    if language := text_cfg.get('tokenizer_kwargs', {}).get('language'):
        tokenizer.tokenizer.src_lang = language # else transformers sets OpenCLIP's language back at each call
    return tokenizer


def ids_of(tokenizer, text):
    """Its ids; None where OpenCLIP raises an exception, and for texts in which ftfy repairs mojibake."""
    import ftfy
    if ftfy.fix_text(text, fix_encoding=False) != ftfy.fix_text(text):
        return None
    try:
        return tokenizer(text)[0].tolist()
    except ValueError:
        return None


def write(folder, tokenizer, config):
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(',', ':'))
    (folder / 'tokenizer.json').write_text(text + '\n')
    (folder / 'tokenizer_config.json').write_text(json.dumps(config) + '\n')


def golden():
    shutil.rmtree(GOLDEN, ignore_errors=True)
    texts = CORPUS[::4] + PHRASES + ['', '   ', 'the <unk> and </s> <pad>[SEP] [MASK]<mask>', '&lt;s&gt; &amp;amp; ＡＢＣ ½ Ⅷ…',
                                   'e\u0301 cafe\u0301 ﬁne', 'x' * 150, 'a ' * 60] + draw_texts(60, 3)
    cases = []
    for name, make in KINDS.items():
        tokenizer, config = make()
        write(GOLDEN / name, tokenizer, config)
        for text_cfg in CONFIGS[name]:
            reference = tokenizer_of(GOLDEN / name, text_cfg)
            pairs = [(text, ids_of(reference, text)) for text in texts]
            pairs = [[text, ids] for text, ids in pairs if ids is not None]
            assert len({tuple(ids) for _, ids in pairs}) > 0.4 * len(pairs), name
            cases.append({'tokenizer': name, 'text_cfg': text_cfg, 'texts': pairs})
    lines = ',\n'.join(json.dumps(case, separators=(',', ':')) for case in cases)
    (GOLDEN / 'cases.json').write_text(f'[\n{lines}\n]\n')


def check(folder, count):
    """Whether the package gives many strings the same ids."""
    config = json.loads((folder / 'tokenizer_config.json').read_text())
    text_cfg = {'context_length': 77, **config.get('text_cfg', {})}
    reference = tokenizer_of(folder, text_cfg)
    pairs = [(text, ids_of(reference, text)) for text in draw_texts(count, 11)]
    pairs = [pair for pair in pairs if pair[1] is not None]
    with tempfile.NamedTemporaryFile('w', suffix='.json') as file:
        json.dump([{'tokenizer': str(folder.resolve()), 'text_cfg': text_cfg, 'texts': pairs}], file)
        file.flush()
        return subprocess.run(['node', str(ROOT / 'tests/compare-tokenizers.mjs'), file.name]).returncode


if __name__ == '__main__':
    parser = argparse.ArgumentParser()
    parser.add_argument('--check', type=Path)
    parser.add_argument('--count', type=int, default=20000)
    args = parser.parse_args()
    sys.exit(check(args.check, args.count) if args.check else golden())
