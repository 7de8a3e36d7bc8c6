"""Normalisation form C as tokenizers have it: one result on every machine, for ever.

The library that made most tokenizers composes by a version of Unicode from before 2018; later
characters are left as they are. Interpreters know later versions, but what those say of earlier
characters never changes (Unicode's normalisation stability policy). So only runs of characters
that took part in normalisation then are handed to the interpreter: they decompose, they compose,
or they are reordered. Everything else stands still between such runs.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import groupby

from veracity.text.unicode import code_points

__all__ = ["nfc"]

#: Runs up to this length (characters) are left to the interpreter to put in order.
SHORT_RUN = 256
#: What decomposes, takes part in a composition, or has a combining class.
_ACTIVE = """
3b-3e 41-50 52-5a 60-70 72-7a a8 b4 b7 c0-cf d1-d6 d8-dd e0-ef f1-f6 f8-fd ff-10f 112-125 128-130
134-137 139-13e 143-148 14c-151 154-165 168-17f 1a0-1a1 1af-1b0 1b7 1cd-1dc 1de-1e3 1e6-1f0 1f4-1f5
1f8-21b 21e-21f 226-233 292 2b9 300-34e 350-36f 374 37e 385-38a 38c 38e-391 395 397 399 39f 3a1 3a5
3a9-3b1 3b5 3b7 3b9 3bf 3c1 3c5 3c9-3ce 3d2-3d4 400-401 403 406-407 40c-40e 410 413 415-41a 41e 423
427 42b 42d 430 433 435-43a 43e 443 447 44b 44d 450-451 453 456-457 45c-45e 474-477 483-487 4c1-4c2
4d0-4d3 4d6-4df 4e2-4f5 4f8-4f9 591-5bd 5bf 5c1-5c2 5c4-5c5 5c7 5d0-5d6 5d8-5dc 5de 5e0-5e1 5e3-5e4
5e6-5ea 5f2 610-61a 622-627 648 64a-65f 670 6c0-6c2 6d2-6d3 6d5-6dc 6df-6e4 6e7-6e8 6ea-6ed 711
730-74a 7eb-7f3 816-819 81b-823 825-827 829-82d 859-85b 8d4-8e1 8e3-8ff 915-917 91c 921-922 928-929
92b 92f-931 933-934 93c 94d 951-954 958-95f 9a1-9a2 9af 9bc 9be 9c7 9cb-9cd 9d7 9dc-9dd 9df a16-a17
a1c a2b a32-a33 a36 a38 a3c a4d a59-a5b a5e abc acd b21-b22 b3c b3e b47-b48 b4b-b4d b56-b57 b5c-b5d
b92 b94 bbe bc6-bc7 bca-bcd bd7 c46 c48 c4d c55-c56 cbc cbf-cc0 cc2 cc6-cc8 cca-ccb ccd cd5-cd6 d3e
d46-d47 d4a-d4d d57 dca dcf dd9-dda ddc-ddf e38-e3a e48-e4b eb8-eb9 ec8-ecb f18-f19 f35 f37 f39 f40
f42-f43 f4c-f4d f51-f52 f56-f57 f5b-f5c f69 f71-f76 f78 f7a-f7d f80-f84 f86-f87 f90 f92-f93 f9c-f9d
fa1-fa2 fa6-fa7 fab-fac fb2-fb3 fb5 fb7 fb9 fc6 1025-1026 102e 1037 1039-103a 108d 1100-1112
1161-1175 11a8-11c2 135d-135f 1714 1734 17d2 17dd 18a9 1939-193b 1a17-1a18 1a60 1a75-1a7c 1a7f
1ab0-1abd 1b05-1b0e 1b11-1b12 1b34-1b35 1b3a-1b44 1b6b-1b73 1baa-1bab 1be6 1bf2-1bf3 1c37 1cd0-1cd2
1cd4-1ce0 1ce2-1ce8 1ced 1cf4 1cf8-1cf9 1dc0-1df5 1dfb-1e99 1e9b 1ea0-1ef9 1f00-1f15 1f18-1f1d
1f20-1f45 1f48-1f4d 1f50-1f57 1f59 1f5b 1f5d 1f5f-1f7d 1f80-1fb4 1fb6-1fbc 1fbe-1fbf 1fc1-1fc4
1fc6-1fd3 1fd6-1fdb 1fdd-1fef 1ff2-1ff4 1ff6-1ffe 2000-2003 20d0-20dc 20e1 20e5-20f0 2126 212a-212b
2190 2192 2194 219a-219b 21ae 21cd-21d0 21d2 21d4 2203-2204 2208-2209 220b-220c 2223-2226 223c 2241
2243-2245 2247-2249 224d 2260-2262 2264-2265 226d-227d 2280-2289 2291-2292 22a2 22a8-22a9 22ab-22af
22b2-22b5 22e0-22e3 22ea-22ed 2329-232a 2adc-2add 2cef-2cf1 2d7f 2de0-2dff 3008-3009 302a-302f 3046
304b-3062 3064-3069 306f-307d 3094 3099-309a 309d-309e 30a6 30ab-30c2 30c4-30c9 30cf-30dd 30ef-30f2
30f4 30f7-30fa 30fd-30fe 349e 34b9 34bb 34df 3515 36ee 36fc 3781 382f 3862 387c 38c7 38e3 391c 393a
3a2e 3a6c 3ae4 3b08 3b19 3b49 3b9d 3c18 3c4e 3d33 3d96 3eac 3eb8 3f1b 3ffc 4008 4018 4039 4046 4096
40e3 412f 4202 4227 42a0 4301 4334 4359 43d5 43d9 440b 446b 452b 455d 4561 456b 45d7 45f9 4635 46be
46c7 4995 49e6 4a6e 4a76 4ab2 4b33 4bce 4cce 4ced 4cf8 4d56 4e0d 4e26 4e32 4e38-4e39 4e3d 4e41 4e82
4e86 4eae 4ec0 4ecc 4ee4 4f60 4f80 4f86 4f8b 4fae 4fbb 4fbf 5002 502b 507a 5099 50cf 50da 50e7 5140
5145 514d 5154 5164 5167-5169 516d 5177 5180 518d 5192 5195 5197 51a4 51ac 51b5 51b7 51c9 51cc 51dc
51de 51f5 5203 5207 5217 5229 523a-523b 5246 5272 5277 5289 529b 52a3 52b3 52c7 52c9 52d2 52de 52e4
52f5 52fa 5305-5306 5317 533f 5349 5351 535a 5373 5375 537d 537f 53c3 53ca 53df 53e5 53eb 53f1 5406
540f 541d 5438 5442 5448 5468 549e 54a2 54bd 54f6 5510 5553 5555 5563 5584 5587 5599 559d 55ab 55b3
55c0 55c2 55e2 5606 5651 5668 5674 56f9 5716-5717 578b 57ce 57f4 580d 5831-5832 5840 585a 585e 58a8
58ac 58b3 58d8 58df 58ee 58f2 58f7 5906 591a 5922 5944 5948 5951 5954 5962 5973 59d8 59ec 5a1b 5a27
5a62 5a66 5ab5 5b08 5b28 5b3e 5b85 5bc3 5bd8 5be7 5bee 5bf3 5bff 5c06 5c22 5c3f 5c60 5c62 5c64-5c65
5c6e 5c8d 5cc0 5d19 5d43 5d50 5d6b 5d6e 5d7c 5db2 5dba 5de1-5de2 5dfd 5e28 5e3d 5e69 5e74 5ea6 5eb0
5eb3 5eb6 5ec9-5eca 5ed2-5ed3 5ed9 5eec 5efe 5f04 5f22 5f53 5f62 5f69 5f6b 5f8b 5f9a 5fa9 5fad 5fcd
5fd7 5ff5 5ff9 6012 601c 6075 6081 6094 60c7 60d8 60e1 6108 6144 6148 614c 614e 6160 6168 617a 618e
6190 61a4 61af 61b2 61de 61f2 61f6 6200 6210 621b 622e 6234 625d 62b1 62c9 62cf 62d3-62d4 62fc 62fe
633d 6350 6368 637b 6383 63a0 63a9 63c4-63c5 63e4 641c 6422 6452 6469 6477 647e 649a 649d 64c4 654f
6556 656c 6578 6599 65c5 65e2-65e3 6613 6649 6674 6688 6691 669c 66b4 66c6 66f4 66f8 6700 6717 671b
6721 674e 6753 6756 675e 677b 6785 6797 67f3 67fa 6817 681f 6852 6881 6885 688e 68a8 6914 6942 69a3
69ea 6a02 6a13 6aa8 6ad3 6adb 6b04 6b21 6b54 6b72 6b77 6b79 6b9f 6bae 6bba-6bbb 6c4e 6c67 6c88 6cbf
6ccc-6ccd 6ce5 6d16 6d1b 6d1e 6d34 6d3e 6d41 6d69-6d6a 6d77-6d78 6d85 6dcb 6dda 6dea 6df9 6e1a 6e2f
6e6e 6e9c 6eba 6ec7 6ecb 6ed1 6edb 6f0f 6f22-6f23 6f6e 6fc6 6feb 6ffe 701b 701e 7039 704a 7070 7077
707d 7099 70ad 70c8 70d9 7145 7149 716e 719c 71ce 71d0 7210 721b 7228 722b 7235 7250 7262 7280 7295
72af 72c0 72fc 732a 7375 737a 7387 738b 73a5 73b2 73de 7406 7409 7422 7447 745c 7469 7471 7485 7489
7498 74ca 7506 7524 753b 753e 7559 7565 7570 75e2 7610 761d 761f 7642 7669 76ca 76db 76e7 76f4 7701
771e-771f 7740 774a 778b 77a7 784e 786b 788c 7891 78ca 78cc 78fb 792a 793c 793e 7948-7949 7950 7956
795d-795e 7965 797f 798d-798f 79ae 79ca 79eb 7a1c 7a40 7a4a 7a4f 7a81 7ab1 7acb 7aee 7b20 7bc0 7bc6
7bc9 7c3e 7c60 7c7b 7c92 7cbe 7cd2 7cd6 7ce3 7ce7-7ce8 7d00 7d10 7d22 7d2f 7d5b 7d63 7da0 7dbe 7dc7
7df4 7e02 7e09 7e37 7e41 7e45 7f3e 7f72 7f79-7f7a 7f85 7f95 7f9a 7fbd 7ffa 8001 8005 8046 8060
806f-8070 807e 808b 80ad 80b2 8103 813e 81d8 81e8 81ed 8201 8204 8218 826f 8279 828b 8291 829d 82b1
82b3 82bd 82e5-82e6 831d 8323 8336 8352-8353 8363 83ad 83bd 83c9-83ca 83cc 83dc 83e7 83ef 83f1 843d
8449 8457 84ee 84f1 84f3 84fc 8516 8564 85cd 85fa 8606 8612 862d 863f 8650 865c 8667 8669 8688 86a9
86e2 870e 8728 876b 8779 8786 87ba 87e1 8801 881f 884c 8860 8863 88c2 88cf 88d7 88de 88e1 88f8 88fa
8910 8941 8964 8986 898b 8996 8aa0 8aaa 8abf 8acb 8ad2 8ad6 8aed 8af8 8afe 8b01 8b39 8b58 8b80 8b8a
8c48 8c55 8cab 8cc1-8cc2 8cc8 8cd3 8d08 8d1b 8d77 8dbc 8dcb 8def-8df0 8eca 8ed4 8f26 8f2a 8f38 8f3b
8f62 8f9e 8fb0 8fb6 9023 9038 9072 907c 908f 9094 90ce 90de 90f1 90fd 9111 911b 916a 9199 91b4 91cc
91cf 91d1 9234 9238 9276 927c 92d7-92d8 9304 934a 93f9 9415 958b 95ad 95b7 962e 964b 964d 9675 9678
967c 9686 96a3 96b7-96b8 96c3 96e2-96e3 96f6-96f7 9723 9732 9748 9756 97db 97e0 97ff 980b 9818 9829
983b 985e 98e2 98ef 98fc 9928-9929 99a7 99c2 99f1 99fe 9a6a 9b12 9b6f 9c40 9c57 9cfd 9d67 9db4 9dfa
9e1e 9e7f 9e97 9e9f 9ebb 9ece 9ef9 9efe 9f05 9f0f 9f16 9f3b 9f43 9f8d-9f8e 9f9c a66f a674-a67d
a69e-a69f a6f0-a6f1 a806 a8c4 a8e0-a8f1 a92b-a92d a953 a9b3 a9c0 aab0 aab2-aab4 aab7-aab8 aabe-aabf
aac1 aaf6 abed ac00-d7a3 f900-fa0d fa10 fa12 fa15-fa1e fa20 fa22 fa25-fa26 fa2a-fa6d fa70-fad9
fb1d-fb1f fb2a-fb36 fb38-fb3c fb3e fb40-fb41 fb43-fb44 fb46-fb4e fe20-fe2f 101fd 102e0 10376-1037a
10a0d 10a0f 10a38-10a3a 10a3f 10ae5-10ae6 11046 1107f 11099-1109c 110a5 110ab 110b9-110ba
11100-11102 11127 1112e-1112f 11131-11134 11173 111c0 111ca 11235-11236 112e9-112ea 1133c 1133e
11347 1134b-1134d 11357 11366-1136c 11370-11374 11442 11446 114b0 114b9-114be 114c2-114c3 115af
115b8-115bb 115bf-115c0 1163f 116b6-116b7 1172b 11c3f 16af0-16af4 16b30-16b36 1bc9e 1d157-1d158
1d15e-1d169 1d16d-1d172 1d17b-1d182 1d185-1d18b 1d1aa-1d1ad 1d1b9-1d1c0 1d242-1d244 1e000-1e006
1e008-1e018 1e01b-1e021 1e023-1e024 1e026-1e02a 1e8d0-1e8d6 1e944-1e94a 20122 2051c 20525 2054b
2063a 20804 208de 20a2c 20b63 214e4 216a8 216ea 219c8 21b18 21d0b 21de4 21de6 22183 2219f 22331
226d4 22844 2284a 22b0c 22bf1 2300a 232b8 2335f 23393 2339c 233c3 233d5 2346d 236a3 238a7 23a8d
23afa 23cbc 23d1e 23ed1 23f5e 23f8e 24263 242ee 243ab 24608 24735 24814 24c36 24c92 24fa1 24fb8
25044 250f2-250f3 25119 25133 25249 2541d 25626 2569a 256c5 2597c 25aa7 25bab 25c80 25cd0 25f86
261da 26228 26247 262d9 2633e 264da 26523 265a8 267a7 267b5 26b3c 26c36 26cd5 26d6b 26f2c 26fb1
270d2 273ca 27667 278ae 27966 27ca8 27ed3 27f2f 285d2 285ed 2872e 28bfa 28d77 29145 291df 2921a
2940a 29496 295b6 29b30 2a0ce 2a105 2a20e 2a291 2a392 2a600 2f800-2fa1d
"""


@lru_cache(maxsize=1)
def _runs() -> re.Pattern[str]:
    """A pattern of runs of such characters; most texts never need it."""
    pairs = code_points(_ACTIVE)
    inside = "".join(f"{re.escape(chr(a))}-{re.escape(chr(b))}" for a, b in pairs)
    return re.compile(f"[{inside}]+")


def nfc(text: str) -> str:
    """The text in normalisation form C."""
    if text.isascii():
        return text
    return _runs().sub(lambda run: unicodedata.normalize("NFC", _ordered(run[0])), text)


def _ordered(run: str) -> str:
    """The same characters decomposed and in canonical order, as normalisation would have them.

    Interpreters sort marks by insertion, in time that grows with the square of their number, and
    strangers choose it. What is in order takes no time there.
    """
    if len(run) <= SHORT_RUN:
        return run
    spelled = "".join(map(_decomposed, run))
    out: list[str] = []
    for is_mark, part in groupby(spelled, lambda c: unicodedata.combining(c) != 0):
        found = list(part)
        out += sorted(found, key=unicodedata.combining) if is_mark else found
    return "".join(out)


@lru_cache(maxsize=1 << 12)
def _decomposed(character: str) -> str:
    """A character's canonical decomposition."""
    return unicodedata.normalize("NFD", character)
