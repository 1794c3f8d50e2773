// TEST ONLY. Every kernel that ships, over shapes that are awkward for it: empty, shorter than a warp, one more than a
// multiple of something. A sanitizer reads along; that the results are right is for the parity tests to say.
#include "harness.h"

#include "embed.cu"
#include "layer_norm.cu"
#include "reduce.cu"
#include "saxpy.cu"
#include "sha256_batch.cu"
#include "softmax.cu"
#include "transpose.cu"

namespace {

struct Shape {
    u64 rows, columns;
};
// By warp and by block, held in registers or not, a multiple of four or not.
constexpr Shape SHAPES[] = {{0, 4}, {1, 1}, {3, 31}, {5, 64}, {7, 512}, {2, 516}, {3, 515}, {1, 4100}};

void elements() {
    for (const u64 count : {0, 1, 3, 4, 129, 1023}) {
        const auto x = numbers(count), y = numbers(count);
        auto out = unwritten<float>(count);
        RUN(saxpy, 3, 64, 1.5f, x.data(), y.data(), out.data(), count);
        is_written(out, "saxpy");
    }
}

template <class Run>
void rows(const char* kernel, Run run) {
    for (const Shape shape : SHAPES) {
        const auto x = numbers(shape.rows * shape.columns);
        run(x, shape);
    }
    printf("rows of %s\n", kernel);
}

void reductions() {
    rows("reduce", [](const std::vector<float>& x, Shape shape) {
        auto sums = unwritten<float>(shape.rows), largest = sums, smallest = sums;
        RUN(reduce_sum, 2, 64, x.data(), sums.data(), shape.rows, shape.columns);
        RUN(reduce_max, 2, 32, x.data(), largest.data(), shape.rows, shape.columns);
        RUN(reduce_min, 3, 96, x.data(), smallest.data(), shape.rows, shape.columns);
        is_written(sums, "reduce_sum"), is_written(largest, "reduce_max"), is_written(smallest, "reduce_min");
    });
}

void normalisations() {
    rows("softmax and layer_norm", [](const std::vector<float>& x, Shape shape) {
        auto probabilities = unwritten<float>(x.size()), normalised = probabilities;
        const auto gain = numbers(shape.columns), bias = numbers(shape.columns);
        RUN(softmax, 2, 64, x.data(), probabilities.data(), shape.rows, shape.columns);
        RUN(layer_norm, 2, 96, x.data(), gain.data(), bias.data(), normalised.data(), shape.rows, shape.columns, 1e-5f);
        is_written(probabilities, "softmax"), is_written(normalised, "layer_norm");
    });
}

void transpositions() {
    using namespace transposition;
    for (const Shape shape : {Shape{1, 1}, {1, 70}, {70, 1}, {33, 31}, {64, 128}, {65, 63}}) {
        const auto x = numbers(shape.rows * shape.columns);
        auto out = unwritten<u32>(x.size());
        RUN(transpose, 3, dim3(BLOCK_COLUMNS, BLOCK_ROWS), reinterpret_cast<const u32*>(x.data()), out.data(), shape.rows,
            shape.columns);
        is_written(out, "transpose");
    }
}

// Padding takes one block or two from 56 bytes on.
void digests() {
    std::vector<u64> offsets, lengths;
    u64 end = 0;
    for (const u64 length : {0, 1, 3, 55, 56, 63, 64, 65, 119, 120, 200}) {
        offsets.push_back(end), lengths.push_back(length);
        end += (length + 3) / 4 * 4;
    }
    const std::vector<unsigned char> messages(end, 'a');
    auto out = unwritten<u32>(lengths.size() * 8);
    RUN(sha256_batch, 2, 5, messages.data(), offsets.data(), lengths.data(), out.data(), lengths.size());
    is_written(out, "sha256_batch");
}

std::vector<__half> halves(size_t count) {
    std::vector<__half> array;
    for (const float number : numbers(count)) array.push_back(__float2half(number));
    return array;
}

// Texts of one token and of none, of a tile less and more than one, and of more queries than a block answers.
void encoder() {
    using namespace embed;
    const std::vector<u32> starts = {0, 1, 4, 4, 35, 68, 133};
    const u32 texts = starts.size() - 1, tokens = starts.back();
    std::vector<u32> words, positions;
    for (u32 token = 0; token < tokens; token++) words.push_back(token % 7), positions.push_back(token % 5);
    const auto word_rows = numbers(7 * HIDDEN), position_rows = numbers(5 * HIDDEN);
    const auto gain = numbers(HIDDEN), bias = numbers(HIDDEN), wide_bias = numbers(3 * HIDDEN);

    auto residual = unwritten<float>(size_t{tokens} * HIDDEN);
    auto operand = unwritten<__half>(residual.size()), attended = operand;
    RUN(embed_gather_norm, 3, 64, words.data(), positions.data(), word_rows.data(), position_rows.data(), gain.data(),
        gain.data(), bias.data(), residual.data(), operand.data(), tokens, 1e-12f);
    is_written(residual, "embed_gather_norm"), is_written(operand, "embed_gather_norm");

    const auto qkv = halves(size_t{tokens} * 3 * HIDDEN);
    for (u32 text = 0; text < texts; text++)
        RUN(embed_attention, dim3(1, HEADS, 2), WARP_THREADS, qkv.data(), wide_bias.data(), starts.data() + text,
            attended.data());
    is_written(attended, "embed_attention");

    const auto product = halves(residual.size());
    RUN(embed_residual_norm, 2, 96, product.data(), bias.data(), residual.data(), gain.data(), bias.data(),
        operand.data(), tokens, 1e-12f);

    auto intermediate = halves(size_t{3} * INTERMEDIATE);
    const auto intermediate_bias = numbers(INTERMEDIATE);
    RUN(embed_bias_gelu, 3, 96, intermediate.data(), intermediate_bias.data(), 3);

    auto pooled = unwritten<float>(size_t{texts} * HIDDEN);
    RUN(embed_pool, 2, POOL_THREADS, residual.data(), starts.data(), pooled.data(), texts);
    is_written(pooled, "embed_pool");
}

}  // namespace

int main() {
    elements();
    reductions();
    normalisations();
    transpositions();
    digests();
    encoder();
}
