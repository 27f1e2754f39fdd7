# case 41004826
# 4 bytes of a spilled pointer are alive, and were compared with the number that a pointer does not have
# type qdisc dequeue
# kernel rfc6 7.2
# map 0: array key 4 value 16 entries 2
# map 1: hash key 8 value 24 entries 8
# map 2: array key 4 value 64 entries 1
# map 3: queue key 0 value 8 entries 4
# map 4: ringbuf key 0 value 0 entries 4096
# map 5: percpu_array key 4 value 32 entries 3
# map 6: lpm_trie key 8 value 8 entries 4
# map 7: lru_hash key 4 value 8 entries 4
# map 8: 32 key 8 value 16 entries 16
#! ebpfvm.case/1
#! eNrFV8ly4zYQ/ReedcDaAPwDueSQu8ulwtLwqEaWNZSUmonL/54HilpIW55MUq7wQBJA4/H1iuZLt+2fH/v41N29dJv4xN3dMNMtuv2PbRt9K6
#! tdxjDu9zF/wUThbwc+MKZ2nPer5w3mMFivMm92bcdvf/yOcV3Hx113JyC2Zt7GtMZajesdY2bfH/J++byFwOawXp/Ql+M3u9dFl/YVq/ddqJyE
#! FEJ6Mbni7KnU+CInYlKYcf00trP1Ede8t/u8bbKjXeUseSKgZ3JmlDsh8BRRytnYzMbuBgP1i7hxwjufFa0T1HyxCwViBynKVIkJPEg742Ankl
#! oOdzXc9XCHpBNOQbZJUpOA+2+5zZvp08gbbpu6RYj6sVul/nD9YkU5wp7W/fvuU3kCpy5EZs4YzaanZj+rpelk1elGPXXLFbyzML+GExyMb8mo
#! a0eMrnlH5rSiKdlKChK4BidCFs8EJxmnBgngnWSpuZIhXUiRbevdw5B8Q+rWw2ZI8ZaJ92LhHhb30iz8A0S+trVdKxsSGZu2dbn7mpY9rzmiCi
#! CBn2JL7/uXUyGJfR9/IDK+8o/lbvUXpsyi+zOuDzwOJbVN35e82fcrxl41gCwvlWQsUEDqjkv8fd/HYamhHj8kTqjn4aDNsc6sNhvuT4MS9/H4
#! /ro40/wSd18mLP2UpTIzlv4GyxHok2j+1Jo05ylv8Eyrx8+jeToqLjTFlKafsTQ3WJ6APolnv9o8pkP9iKmYMxWBbpBtaJ/Hdct93h6WP40ArW
#! aM9Q26R8DPI7zePi0bhY/S6uM4kGeuI85nMe0PyzcFwPy7iAXWpxFtrr1pyjd1VN6K093+uf/ImnJK0o0k5W2GOBjKKq7RGLbera+ZuoVbqIe2
#! Y3vYHw+Eo3xXcilesauyFqdyZdI1KVWsKSpkXXW2KWQZVaFSS3UZTU8mScYyegtWRWYlsuKklWavsvTBtsZzxesyHEz73T4+beEhG6wxVhH5xu
#! Ox591uuaqrTeHv0Aa2HKrLEmbYtsy9k+fj66UTw208pcH6/T7gcrWjT17vOS/cdThvfRbep6RCgd42GEvoEFwpIZDgWkFV5sjsibJIDcvOvp9l
#! 1TY6k6yKNSpjmINQScRgdcrae29DDSannNFzaK29SkZlF2uRKZYAC10xyjFXIOkqjM+mWpc9NuoAPhpck4G1YdzgSZpb2tINbYsXbjK16HKodD
#! 0JKQV3C5c4e6FNDK4hupnOU5wB6dQwYdUp40w1mVNhhYaoIXggvL62hBmDjfCF4FgUSipFE1ywpRifEGIiiEnYvI0QC+YJoSsX1gi5QOW3CxLB
#! L6ww1suHN+GiLkYI2WaowsEq9JSJZJDFWktjR9hUuSiqc3YpY50Fs4RiUsUcXXUiWqb6YXApZk1klVNBx5qdqyVaG3W0JofkuXgLOwGmIFi0Hg
#! JBvUEJIZKRBr19ZKmTRoeZnFJWE+YcqcxWB0mqJimQwLIxUjN3+SoQ3uJ/uy5BOfuBaqFESUBFJAd7ISf2vw5dmk6+G1K22hINzINEdtFXsqgx
#! wg2/LgbO1TkaWVVkE9GKV3wRHlFUpJSe0KNzUKKa2MyKgBTFckI1VHBRqoYYwVKcI/xSOdQ8400wosiK4mGkS4VoWuvycoxWhRI+nGFDZXuK/V
#! fMkTca9OiDSP0vha1EIZFgXH0uiHCUYqRZSM5Wk4ytFUYCA+VcpgiReFWErlBQo23MRksTtAz/zM9DeVRX8WsJpc8hDUL0yGz4OzB5GFv+s9hZ
#! XNsETgnCtj8vw8rKQnggfoyVvxqJ/o22KD2ICnakkUryKDsUPlnOMvi5y5lc1IW0YVOn7Gqdf+319eH1b44Px0Q=
r2 = r10
r2 += -0x38
r1 = map[id:1] ll
call 0x1
r8 = r0
*(u64 *)(r10 - 0x30) = r8
r2 = r10
r2 += -0x30
r1 = map[id:7] ll
call 0x1
call +0x1
exit
r0 = 0x0
exit
