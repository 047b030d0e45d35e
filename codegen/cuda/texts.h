// The .cuh files of this folder as texts; the build makes them (embed.cmake).
#ifndef LMN_CUDA_TEXTS_H
#define LMN_CUDA_TEXTS_H

extern const char cuda_text_attention[], cuda_text_attention_grad[], cuda_text_attention_mma[],
    cuda_text_attention_mma_grad[], cuda_text_attention_sm90[], cuda_text_attention_sm90_forward[],
    cuda_text_attention_sm90_keys[], cuda_text_attention_sm90_queries[], cuda_text_copies[], cuda_text_embedding[],
    cuda_text_fast[], cuda_text_gemm[], cuda_text_gemm_mma[], cuda_text_gemm_sm90[], cuda_text_gemm_sm90_epilogue[],
    cuda_text_gemm_sm90_shares[], cuda_text_gemm_sm90_order[], cuda_text_gemm_sm90_places[], cuda_text_loss[],
    cuda_text_optimizer[], cuda_text_rope[], cuda_text_team[], cuda_text_types[];

#endif
